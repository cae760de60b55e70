"""An evaluation policy as files that act without this project: arrays by name, and a serialised function of them.

The function is (params, inputs) -> outputs, dicts of arrays by name, of one environment and without a batch axis. What
outputs have of inputs (the recurrent state, the action where the policy reads the last one, what draws) goes into the
next call.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from acme import core, specs
from acme_jax import acting, exploration
from acme_jax.program import PARAMS, Program, execute

PLATFORMS = ("cpu", "cuda", "tpu")  # Where the function runs, whatever it was written on.
FUNCTION, VARIABLES, START = "policy.jax", "params.npz", "start.npz"

_STREAMS = exploration.Streams(0, 1)


def export(
  program: Program[Any, Any, Any],
  spec: specs.EnvironmentSpec,
  variables: core.VariableSource,
  seed: int,
  to: pathlib.Path,
) -> dict[str, Any]:
  """Writes the evaluation policy, but for an ε of it, which the host draws.

  Args:
    program: the agent's.
    spec: the environment's.
    variables: where the parameters come from.
    seed: of what the policy draws.
    to: a folder: `params.npz`; `start.npz`, what goes in besides the observation when an episode begins; `policy.jax`,
      the function, which `jax.export.deserialize` reads.

  Returns:
    Of `params`, `inputs` and `outputs` dtype and shape, by name.

  Raises:
    ValueError: the agent has no evaluation policy, as its acting is no pure function.
    ImportError: flatbuffers, which serialises, is not installed.
  """
  policy = program.evaluation
  if policy is None:
    raise ValueError("Its acting is no function of parameters and an observation, as that of a search is none.")
  (nest,) = variables.get_variables([PARAMS])
  params: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in _named("", nest).items()}
  explore = None if isinstance(policy.explore, exploration.EpsilonGreedy) else policy.explore  # In the call.
  begun = policy.initial(nest, 1)
  noise = () if explore is None else explore.initial(1)
  first = {name: value for name, value in acting.first_step(spec, 1).items() if name in policy.reads}
  start: dict[str, Any] = {}
  for name, state in (*first.items(), ("core", begun), ("noise", noise)):
    start |= _named(name, jax.tree.map(lambda leaf: leaf[0], state))
  if jax.tree.leaves((begun, noise)):
    start["start_of_episode"] = np.asarray(True)
  if policy.random or explore is not None:
    start |= {"key": np.asarray(jax.random.PRNGKey(seed)), "steps": np.uint32(0)}
  start = {name: np.asarray(jnp.asarray(leaf)) for name, leaf in start.items()}  # As JAX holds them.

  def act(params: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    batch = {name: leaf[None] for name, leaf in inputs.items() if name not in ("key", "steps")}
    observation = _nest("observation", spec.observations, batch)
    read = {name: _nest(name, value, batch) for name, value in first.items()}
    done = execute(
      policy, program.space, _nest("", nest, params), inputs.get("key"), inputs.get("steps", 0), _STREAMS,
      acting.make_step(observation, start_of_episode=batch.get("start_of_episode"), **read),
      _nest("core", begun, batch), _nest("noise", noise, batch), explore=explore is not None,
    )  # fmt: skip
    action = jax.tree.map(lambda leaf, like: leaf.astype(_dtype(like)), done.action, spec.actions)
    outputs: dict[str, Any] = {}
    for name, value in (("action", action), ("core", done.core), ("noise", done.noise)):
      outputs |= _named(name, jax.tree.map(lambda leaf: leaf[0], value))
    if "start_of_episode" in inputs:
      outputs["start_of_episode"] = jnp.asarray(False)
    if "steps" in inputs:
      outputs |= {"key": inputs["key"], "steps": inputs["steps"] + 1}
    return outputs

  observation = _named("observation", jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), spec.observations))
  exported = _serialise(act, _shapes(params), _shapes(observation | start), to / FUNCTION)
  np.savez(to / VARIABLES, **params)
  np.savez(to / START, **start)
  described = {"params": params, "inputs": observation | start, "outputs": exported}
  return {name: {key: _describe(leaf) for key, leaf in value.items()} for name, value in described.items()}


def _serialise(act: Any, params: Any, inputs: Any, path: pathlib.Path) -> dict[str, Any]:
  """Writes a function of such inputs, and returns the shapes of its outputs."""
  from jax import export as jax_export  # With flatbuffers, which few need.

  function = jax_export.export(jax.jit(act), platforms=PLATFORMS)(params, inputs)
  try:
    path.write_bytes(function.serialize())
  except ImportError as error:
    raise ImportError(f'Functions are serialised by {error.name}: pip install "acme-jax[export]".') from error
  shapes: dict[str, Any] = jax.eval_shape(act, params, inputs)
  return shapes


def _named(prefix: str, nest: Any) -> dict[str, Any]:
  """The leaves of a nest by the keys that lead to them, after a prefix: `core/hidden`."""
  found = {}
  for path, leaf in jax.tree_util.tree_flatten_with_path(nest)[0]:
    keys = [getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))) for key in path]
    found["/".join([prefix] * bool(prefix) + [str(key) for key in keys]) or "params"] = leaf
  return found


def _nest(prefix: str, like: Any, named: Mapping[str, Any]) -> Any:
  """The nest whose leaves `_named` gave."""
  return jax.tree.unflatten(jax.tree.structure(like), [named[name] for name in _named(prefix, like)])


def _shapes(arrays: Mapping[str, Any]) -> dict[str, Any]:
  shape: Any = jax.ShapeDtypeStruct
  return {name: shape(leaf.shape, _dtype(leaf)) for name, leaf in arrays.items()}


def _describe(leaf: Any) -> dict[str, Any]:
  return {"dtype": str(_dtype(leaf)), "shape": list(leaf.shape)}


def _dtype(leaf: Any) -> Any:
  """That of an array or a spec, as JAX holds it."""
  return jax.dtypes.canonicalize_dtype(leaf.dtype)
