"""D4PG in TensorFlow, Sonnet and trfl."""

from acme_d4pg.tf.acting import make_actor
from acme_d4pg.tf.learning import TrainingState, make_learner, make_update
from acme_d4pg.tf.networks import Networks, make_networks

__all__ = ["Networks", "TrainingState", "make_actor", "make_learner", "make_networks", "make_update"]
