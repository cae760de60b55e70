"""Agents made of components."""

from acme.agents.agent import Agent, PluginAgent

__all__ = ["Agent", "PluginAgent"]
