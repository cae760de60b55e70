"""The builder of every agent that is a program."""

import pathlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import tensorflow as tf
import tree

from acme import builders, configs, core, experience, specs, types
from acme_tf import acting, exporting, functions, learning, networks, variables
from acme_tf.program import Policy, Program

Config = TypeVar("Config", bound=configs.Config)
S = TypeVar("S")
P = TypeVar("P")
C = TypeVar("C")


def refuse_switches(config: configs.Config, *lacking: str) -> None:
  """Raises ValueError where a switch of the config is on that an agent lacks in TensorFlow."""
  for switch in lacking:
    if getattr(config, switch):
      raise ValueError(
        f'{type(config).__name__}.{switch}: the TensorFlow backend lacks it. Set it to False, or use backend="jax".'
      )


class ProgramBuilder(builders.Builder[Config, Program[S, P, C]], Generic[Config, S, P, C]):
  """Makes the components of an agent from its program and its experience."""

  backend = "tf"

  def __init__(
    self,
    config: Config,
    description: experience.Experience | Callable[[specs.EnvironmentSpec], experience.Experience],
    make_program: Callable[[specs.EnvironmentSpec], Program[S, P, C]],
  ) -> None:
    """Makes a builder.

    Args:
      config: the agent's; its `num_sgd_steps_per_step`, where it has one, are SGD steps in a learner step.
      description: the agent's experience, or a function from an environment's specs to it.
      make_program: from an environment's specs to the agent's program.
    """
    self.config = config
    self._describe = description if callable(description) else lambda spec: description
    self._make_program = make_program

  def make_program(self, spec: specs.EnvironmentSpec) -> Program[S, P, C]:
    return self._make_program(spec)

  def make_experience(self, spec: specs.EnvironmentSpec, program: Program[S, P, C]) -> experience.Experience:
    return self._describe(spec).with_core(_spec_of(program, lambda policy, params: policy.initial(params, 1)))

  def extras_spec(self, spec: specs.EnvironmentSpec, program: Program[S, P, C]) -> types.NestedSpec:
    zeros = types.Step(*(networks.zeros(field) for field in builders.step_spec(spec)))

    def extras(policy: Policy[P, C], params: P) -> types.NestedArray:
      step = types.Step(*(functions.single(tf.nest.map_structure(tf.constant, field)) for field in zeros))
      seed = tf.zeros(2, tf.int64) if policy.random else None
      return policy.act(params, seed, step, policy.initial(params, 1)).extras

    return _spec_of(program, extras)

  def make_learner(
    self, spec: specs.EnvironmentSpec, program: Program[S, P, C], inputs: builders.LearnerInputs
  ) -> core.Learner:
    return learning.Learner(program, inputs, num_sgd_steps=getattr(self.config, "num_sgd_steps_per_step", 1))

  def make_actor(
    self, spec: specs.EnvironmentSpec, program: Program[S, P, C], inputs: builders.ActorInputs
  ) -> core.Actor:
    return acting.Actor(program, spec, inputs)

  def priorities(self, program: Program[S, P, C]) -> Callable[[Any, Any], np.ndarray] | None:
    function = program.priorities
    if function is None:
      return None
    modules = program.make_params()
    call = tf.function(lambda items: function(modules, functions.single(items)))

    def priorities(params: variables.Values, items: Any) -> np.ndarray:
      variables.assign(variables.of(modules), params)
      return np.asarray(call(tf.nest.map_structure(tf.constant, items)))

    return priorities

  def export(
    self, spec: specs.EnvironmentSpec, variables: core.VariableSource, seed: int, to: pathlib.Path
  ) -> dict[str, Any]:
    """Writes the evaluation policy as files that act without this project: see `acme_tf.exporting`."""
    return exporting.export(self.make_program(spec), spec, variables, seed, to)


def _spec_of(program: Program[Any, P, C], function: Callable[[Policy[P, C], P], Any]) -> types.NestedSpec:
  """The spec of what a function of the behaviour and its modules gives, less its leading [1]; nothing is computed."""
  policy = program.behaviour
  if policy is None:
    return ()
  params = program.make_params()
  return tree.map_structure_with_path(
    lambda path, leaf: specs.Array(leaf.shape[1:], leaf.dtype.as_numpy_dtype, "/".join(map(str, path))),
    functions.outputs(lambda: function(policy, params)),
  )
