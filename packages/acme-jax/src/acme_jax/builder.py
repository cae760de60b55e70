"""The builder of every agent that is a program."""

import pathlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import jax
import numpy as np
import tree

from acme import builders, configs, core, experience, specs, types
from acme_jax import acting, exporting, learning, networks
from acme_jax.program import Acted, Policy, Program

Config = TypeVar("Config", bound=configs.Config)
S = TypeVar("S")
P = TypeVar("P")
C = TypeVar("C")


class ProgramBuilder(builders.Builder[Config, Program[S, P, C]], Generic[Config, S, P, C]):
  """Makes the components of an agent from its program and its experience."""

  backend = "jax"

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
    return self._describe(spec).with_core(self._spec_of(program, lambda policy, params: policy.initial(params, 1)))

  def extras_spec(self, spec: specs.EnvironmentSpec, program: Program[S, P, C]) -> types.NestedSpec:
    def extras(policy: Policy[P, C], params: P) -> types.NestedArray:
      step = types.Step(*(networks.zeros(field) for field in builders.step_spec(spec)))
      acted: Acted[C] = policy.act(params, jax.random.PRNGKey(0), step, policy.initial(params, 1))
      return acted.extras

    return self._spec_of(program, extras)

  def _spec_of(
    self, program: Program[S, P, C], function: Callable[[Policy[P, C], P], types.NestedArray]
  ) -> types.NestedSpec:
    """The spec of what a function of the behaviour and its parameters gives, less its leading [1]; none is computed."""
    policy = program.behaviour
    if policy is None:
      return ()
    shapes = jax.eval_shape(lambda: function(policy, program.params(program.init(jax.random.PRNGKey(0)))))
    return tree.map_structure_with_path(
      lambda path, leaf: specs.Array(leaf.shape[1:], np.dtype(leaf.dtype), "/".join(map(str, path))), shapes
    )

  def make_learner(
    self, spec: specs.EnvironmentSpec, program: Program[S, P, C], inputs: builders.LearnerInputs
  ) -> core.Learner:
    return learning.Learner(program, inputs, num_sgd_steps=getattr(self.config, "num_sgd_steps_per_step", 1))

  def make_actor(
    self, spec: specs.EnvironmentSpec, program: Program[S, P, C], inputs: builders.ActorInputs
  ) -> core.Actor:
    return acting.Actor(program, spec, inputs)

  def priorities(self, program: Program[S, P, C]) -> Callable[[Any, Any], np.ndarray] | None:
    if program.priorities is None:
      return None
    call = jax.jit(program.priorities)
    return lambda params, items: np.asarray(call(params, items))

  def export(
    self, spec: specs.EnvironmentSpec, variables: core.VariableSource, seed: int, to: pathlib.Path
  ) -> dict[str, Any]:
    """Writes the evaluation policy as files that act without this project: see `acme_jax.exporting`."""
    return exporting.export(self.make_program(spec), spec, variables, seed, to)
