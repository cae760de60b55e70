"""An evaluation policy as files that act without this project: arrays by name, and a SavedModel.

The twin of `acme_jax.exporting`: its function `act` is inputs -> outputs, dicts of arrays by name, of one environment
and without a batch axis. What outputs have of inputs (the recurrent state, the action where the policy reads the last
one, what draws) goes into the next call.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tree

from acme import core, specs
from acme_tf import acting, exploration, variables
from acme_tf.program import PARAMS, Program, execute, make_step

FUNCTION, VARIABLES, START = "saved_model", "params.npz", "start.npz"

_STREAMS = exploration.Streams(0, 1)


def export(
  program: Program[Any, Any, Any], spec: specs.EnvironmentSpec, source: core.VariableSource, seed: int, to: pathlib.Path
) -> dict[str, Any]:
  """Writes the evaluation policy, but for an ε of it, which the host draws.

  Args:
    program: the agent's.
    spec: the environment's.
    source: where the parameters come from.
    seed: of what the policy draws.
    to: a folder: `params.npz`; `start.npz`, what goes in besides the observation when an episode begins; `saved_model`,
      which `tf.saved_model.load` reads.

  Returns:
    Of `params`, `inputs` and `outputs` dtype and shape, by name.

  Raises:
    ValueError: the agent has no evaluation policy, as its acting is no function.
  """
  policy = program.evaluation
  if policy is None:
    raise ValueError("Its acting is no function of parameters and an observation, as that of a search is none.")
  (values,) = source.get_variables([PARAMS])
  modules = program.make_params()
  held = variables.of(modules)
  variables.assign(held, values)
  explore = None if isinstance(policy.explore, exploration.EpsilonGreedy) else policy.explore  # In the call.
  begun = acting.tensors(policy.initial(modules, 1))
  noise = () if explore is None else acting.tensors(explore.initial(1))
  first = {name: value for name, value in acting.first_step(spec, 1).items() if name in policy.reads}
  start: dict[str, Any] = {}
  for name, state in (*first.items(), ("core", begun), ("noise", noise)):
    start |= {key: np.asarray(leaf)[0] for key, leaf in _named(name, state).items()}
  if tf.nest.flatten((begun, noise)):
    start["start_of_episode"] = np.asarray(True)
  if policy.random or explore is not None:
    drawn = int(np.random.SeedSequence(seed).generate_state(1)[0])  # As the actor does.
    start["seed"] = np.array([drawn, 0], np.int64)  # And the steps so far.

  def act(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    batch = {name: leaf[None] for name, leaf in inputs.items() if name != "seed"}
    fields = {name: _nest(name, value, batch) for name, value in first.items()}
    if "start_of_episode" in batch:
      fields["start_of_episode"] = batch["start_of_episode"]
    step = make_step(_nest("observation", spec.observations, batch), **fields)
    state, last = _nest("core", begun, batch), _nest("noise", noise, batch)
    done = execute(policy, program.space, modules, inputs.get("seed"), _STREAMS, step, state, last)
    action = tree.map_structure(lambda like, leaf: tf.cast(leaf, like.dtype), spec.actions, done.action)
    outputs: dict[str, tf.Tensor] = {}
    for name, value in (("action", action), ("core", done.core), ("noise", done.noise)):
      outputs |= {key: leaf[0] for key, leaf in _named(name, value).items()}
    if "start_of_episode" in inputs:
      outputs["start_of_episode"] = tf.constant(False)
    if "seed" in inputs:
      outputs["seed"] = inputs["seed"] + tf.constant([0, 1], tf.int64)
    return outputs

  inputs = {key: np.zeros(leaf.shape, leaf.dtype) for key, leaf in _named("observation", spec.observations).items()}
  inputs |= start
  module = tf.Module()
  module.held = list(held)  # So that they are saved.
  # The dict has the names; those of specs, which TensorFlow warns of, may have no slash.
  signature = {name: tf.TensorSpec(leaf.shape, leaf.dtype, name.replace("/", "_")) for name, leaf in inputs.items()}
  module.act = tf.function(act, input_signature=[signature])
  tf.saved_model.save(module, str(to / FUNCTION))
  params: dict[str, Any] = variables.values(held)
  np.savez(to / VARIABLES, **params)
  np.savez(to / START, **start)
  described = {"params": params, "inputs": inputs, "outputs": module.act.get_concrete_function().structured_outputs}
  return {name: {key: _describe(leaf) for key, leaf in value.items()} for name, value in described.items()}


def _named(prefix: str, nest: Any) -> dict[str, Any]:
  """The leaves of a nest by the keys that lead to them, after a prefix: `core/hidden`."""
  return {"/".join([prefix, *map(str, path)]): leaf for path, leaf in tree.flatten_with_path(nest)}


def _nest(prefix: str, like: Any, named: Mapping[str, Any]) -> Any:
  """The nest whose leaves `_named` gave."""
  return tree.unflatten_as(like, [named[name] for name in _named(prefix, like)])


def _describe(leaf: Any) -> dict[str, Any]:
  return {"dtype": np.dtype(getattr(leaf.dtype, "as_numpy_dtype", leaf.dtype)).name, "shape": list(leaf.shape)}
