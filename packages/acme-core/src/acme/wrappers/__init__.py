"""Environment wrappers that need nothing but core; acme_envs.wrappers has the others."""

from acme.wrappers.base import EnvironmentWrapper
from acme.wrappers.gym_vector_wrapper import GymVectorWrapper
from acme.wrappers.gym_wrapper import GymWrapper
from acme.wrappers.single_precision import SinglePrecision
from acme.wrappers.step_limit import StepLimit

__all__ = ["EnvironmentWrapper", "GymVectorWrapper", "GymWrapper", "SinglePrecision", "StepLimit"]
