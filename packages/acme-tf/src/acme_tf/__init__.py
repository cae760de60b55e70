"""Networks, actors and learner scaffolding for agents in TensorFlow and Sonnet.

Import the modules: `from acme_tf import acting, learning, networks, variables`. This one imports none, so that it costs
nothing.
"""

__version__ = "0.1.0"

__all__: list[str] = []
