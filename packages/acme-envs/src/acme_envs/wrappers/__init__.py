"""Wrappers for any dm_env environment; acme.wrappers has GymWrapper, SinglePrecision and StepLimit."""

from collections.abc import Callable, Mapping
from typing import Any

from acme import wrappers as core
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
  flatten,
  keep,
)
from acme_envs.wrappers.video import VideoWrapper

# Those that a name stands for: each takes an environment and its options; `name` is that with which it was made.
BY_NAME: Mapping[str, Callable[..., Any]] = {
  "action_repeat": ActionRepeat,
  "canonical_spec": CanonicalSpec,
  "delayed_reward": DelayedReward,
  "expand_scalars": ExpandScalarObservation,
  "flatten": flatten,
  "frame_stack": FrameStacking,
  "keep": keep,
  "mask_velocity": MaskVelocity,
  "noop_starts": NoopStarts,
  "observation_action_reward": ObservationActionReward,
  "step_limit": core.StepLimit,
}
OF_GYMNASIUM = ("keep",)  # Those that go around Gymnasium's environments, before they have specs.

__all__ = [
  "BY_NAME",
  "OAR",
  "OF_GYMNASIUM",
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
  "flatten",
  "keep",
]
