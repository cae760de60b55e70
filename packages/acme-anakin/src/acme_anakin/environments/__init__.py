"""Environments written in JAX."""

from acme_anakin.environments.base import Environment, Outcome, time_limit

__all__ = ["Environment", "Outcome", "time_limit"]
