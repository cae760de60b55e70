"""Wrappers for any dm_env environment; acme.wrappers has GymWrapper, SinglePrecision and StepLimit."""

from collections.abc import Callable, Mapping

import dm_env

from acme_envs.wrappers.actions import ActionRepeat, CanonicalSpec
from acme_envs.wrappers.episodes import DelayedReward, NoopStarts
from acme_envs.wrappers.gym_vector import GymVectorWrapper
from acme_envs.wrappers.observations import (
  OAR,
  ConcatObservation,
  ExpandScalarObservation,
  FrameStacking,
  MaskVelocity,
  ObservationActionReward,
)
from acme_envs.wrappers.video import VideoWrapper

# Those that a name stands for; each takes an environment and the name with which that was made.
BY_NAME: Mapping[str, Callable[[dm_env.Environment, str], dm_env.Environment]] = {"mask_velocity": MaskVelocity}

__all__ = [
  "BY_NAME",
  "OAR",
  "ActionRepeat",
  "CanonicalSpec",
  "ConcatObservation",
  "DelayedReward",
  "ExpandScalarObservation",
  "FrameStacking",
  "GymVectorWrapper",
  "MaskVelocity",
  "NoopStarts",
  "ObservationActionReward",
  "VideoWrapper",
]
