"""Networks, actors and learner scaffolding for agents in JAX and Haiku.

Import the modules: `from acme_jax import acting, learning, networks`. This one imports none, so that it costs nothing.
"""

__version__ = "0.2.0"

__all__: list[str] = []
