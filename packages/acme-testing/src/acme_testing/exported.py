"""Whether an exported policy acts as the evaluation actor does: what the tests of both backends have in common."""

from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import numpy as np
import tree

from acme import core, specs

__all__ = ["CONTINUOUS", "SCALAR", "check_acts", "observe"]

SCALAR = specs.Array((), np.float64)
CONTINUOUS = specs.EnvironmentSpec(
  {"arm": specs.Array((3,), np.float64), "count": specs.DiscreteArray(5, np.int64)},
  {"a": specs.BoundedArray((2,), np.float64, [-1, 0], [1, 10]), "b": specs.BoundedArray((), np.float32, -2, 0)},
  SCALAR, SCALAR,
)  # fmt: skip

Act = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def observe(spec: specs.EnvironmentSpec, rng: np.random.Generator) -> Any:
  """Draws an observation: of CONTINUOUS, or of four numbers."""
  if spec is not CONTINUOUS:
    return rng.normal(size=4).astype(np.float32)
  return {"arm": rng.normal(size=3), "count": np.int64(rng.integers(5))}


def check_acts(
  act: Act,
  taken: Mapping[str, Mapping[str, Any]],
  start: Mapping[str, np.ndarray],
  actor: core.Actor,
  spec: specs.EnvironmentSpec,
  clock: Callable[[int], Mapping[str, Any]],
  rtol: float,
) -> None:
  """Plays two episodes with both; raises AssertionError where their actions differ.

  Args:
    act: inputs -> outputs, from the files.
    taken: what `export` said of inputs and outputs.
    start: what goes in besides the observation when an episode begins.
    actor: the evaluation actor.
    spec: of the environment, CONTINUOUS or one that `observe` draws for.
    clock: the inputs that count the steps of all episodes, of the steps so far: what is drawn goes by them.
    rtol: relative tolerance of actions.
  """
  rng = np.random.default_rng(0)
  observed = [name for name in taken["inputs"] if name.startswith("observation")]
  chosen = [name for name in taken["outputs"] if name.startswith("action")]
  for _ in range(2):
    observation, inputs = observe(spec, rng), {**start, **clock(actor.save()["steps"])}
    actor.observe_first(dm_env.restart(observation))
    for _ in range(4):
      outputs = act(inputs | dict(zip(observed, tree.flatten(observation), strict=True)))
      expected = actor.select_action(observation)
      for name, action in zip(chosen, tree.flatten(expected), strict=True):
        np.testing.assert_allclose(outputs[name], action, rtol=rtol)
      reward, observation = rng.normal(), observe(spec, rng)
      actor.observe(expected, dm_env.transition(np.float64(reward), observation))
      inputs = inputs | {name: outputs[name] for name in start if name in outputs}
      if "reward" in start:
        inputs["reward"] = np.asarray(reward, taken["inputs"]["reward"]["dtype"])
