"""What agents in TensorFlow and Sonnet share: programs, the actor and the learner that run them, parts of networks.

Import the modules: `from acme_tf import learning, networks, program`. This one imports none, so that it costs nothing.
"""

__version__ = "0.2.0"

__all__: list[str] = []
