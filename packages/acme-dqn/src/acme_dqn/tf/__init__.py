"""DQN in TensorFlow, Sonnet and trfl."""

from acme_dqn.tf.acting import make_actor
from acme_dqn.tf.learning import TrainingState, make_learner, make_update
from acme_dqn.tf.networks import Networks, make_networks

__all__ = ["Networks", "TrainingState", "make_actor", "make_learner", "make_networks", "make_update"]
