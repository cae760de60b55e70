"""Agents made of components."""

from acme.agents.agent import Agent

__all__ = ["Agent"]
