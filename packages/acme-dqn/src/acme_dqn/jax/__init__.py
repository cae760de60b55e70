"""DQN in JAX, Haiku and rlax."""

from acme_dqn.jax.acting import make_actor
from acme_dqn.jax.learning import TrainingState, make_learner, make_update
from acme_dqn.jax.networks import Networks, make_networks

__all__ = ["Networks", "TrainingState", "make_actor", "make_learner", "make_networks", "make_update"]
