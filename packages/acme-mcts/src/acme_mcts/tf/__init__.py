"""MCTS in TensorFlow and Sonnet."""

from acme_mcts.tf.acting import make_actor
from acme_mcts.tf.learning import make_learner
from acme_mcts.tf.networks import Networks, make_networks

__all__ = ["Networks", "make_actor", "make_learner", "make_networks"]
