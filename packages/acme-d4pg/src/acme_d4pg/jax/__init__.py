"""D4PG in JAX, Haiku and rlax."""

from acme_d4pg.jax.acting import make_actor
from acme_d4pg.jax.learning import Params, TrainingState, make_learner, make_update
from acme_d4pg.jax.networks import Networks, make_networks

__all__ = ["Networks", "Params", "TrainingState", "make_actor", "make_learner", "make_networks", "make_update"]
