"""Environments, replay and learning in one jitted program; environments written in JAX, by name.

Import the modules: `from acme_anakin import environments`. This one imports none, so that it costs nothing.
"""

__version__ = "0.1.0"

__all__: list[str] = []
