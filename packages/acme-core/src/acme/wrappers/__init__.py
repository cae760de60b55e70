"""Environment wrappers that need nothing but core; acme_envs.wrappers has the others."""

from acme.wrappers.base import EnvironmentWrapper, copied
from acme.wrappers.checked import Checked
from acme.wrappers.gym_wrapper import GymWrapper
from acme.wrappers.single_precision import SinglePrecision
from acme.wrappers.step_limit import StepLimit

__all__ = ["Checked", "EnvironmentWrapper", "GymWrapper", "SinglePrecision", "StepLimit", "copied"]
