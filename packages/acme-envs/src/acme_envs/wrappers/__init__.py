"""Wrappers for any dm_env environment; acme.wrappers has GymWrapper, SinglePrecision and StepLimit."""

from acme_envs.wrappers.actions import ActionRepeat, CanonicalSpec
from acme_envs.wrappers.episodes import DelayedReward, NoopStarts
from acme_envs.wrappers.observations import (
  OAR,
  ConcatObservation,
  ExpandScalarObservation,
  FrameStacking,
  MaskVelocity,
  ObservationActionReward,
)
from acme_envs.wrappers.video import VideoWrapper

__all__ = [
  "OAR",
  "ActionRepeat",
  "CanonicalSpec",
  "ConcatObservation",
  "DelayedReward",
  "ExpandScalarObservation",
  "FrameStacking",
  "MaskVelocity",
  "NoopStarts",
  "ObservationActionReward",
  "VideoWrapper",
]
