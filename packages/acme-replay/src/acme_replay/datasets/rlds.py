"""Episodes from RLDS, which aligns a step as (o_t, a_t, r_{t+1}, d_{t+1}): what came of the action taken at it.

The last step, `is_last`, has an observation alone: action, reward and discount of it mean nothing. Where it
`is_terminal`, the discount that led to it is 0, whatever the step before says (many datasets say 1 throughout).
An episode whose last step is not `is_last` was cut short: its last observation ends it, and its last action is dropped.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tree

from acme_replay.datasets.episodes import Episode

_NEEDED = ("observation", "action", "reward", "discount", "is_last", "is_terminal")


def from_rlds(episodes: Iterable[Mapping[str, Any]]) -> Iterator[Episode]:
  """Episodes of this package from those of RLDS (Ramos et al. 2021, 2111.02767).

  Args:
    episodes: each with `steps`, an iterable of dicts with observation, action, reward, discount, is_first, is_last and
      is_terminal, arrays or tensors; what else is in them is passed over. A `tf.data.Dataset` of RLDS is one.

  Raises:
    ValueError: a step lacks something, an episode has no action, or begins or ends in its middle.
  """
  for i, episode in enumerate(episodes):
    steps = [_step(i, t, step) for t, step in enumerate(episode["steps"])]
    if len(steps) < 2:
      raise ValueError(
        f"episode {i}: expected two steps or more, the last with its observation alone, got {len(steps)}."
      )
    for name, at in (("is_first", 0), ("is_last", len(steps) - 1), ("is_terminal", len(steps) - 1)):
      wrong = [t for t, step in enumerate(steps) if step.get(name, False) and t != at]
      if wrong:
        raise ValueError(
          f"episode {i}: expected {name} at step {at} alone, of {len(steps)}, got it at step {wrong[0]}."
        )
    acted = steps[:-1]
    discount = _stack([step["discount"] for step in acted])
    if steps[-1]["is_terminal"]:
      discount = tree.map_structure(lambda leaf: np.concatenate([leaf[:-1], np.zeros_like(leaf[-1:])]), discount)
    yield Episode(
      observation=_stack([step["observation"] for step in steps]),
      action=_stack([step["action"] for step in acted]),
      reward=_stack([step["reward"] for step in acted]),
      discount=discount,
    )


def _step(i: int, t: int, step: Mapping[str, Any]) -> dict[str, Any]:
  missing = [name for name in _NEEDED if name not in step]
  if missing:
    raise ValueError(f"episode {i}, step {t}: it lacks {', '.join(missing)}; it has {', '.join(step)}.")
  found = {name: tree.map_structure(np.asarray, step[name]) for name in _NEEDED if not name.startswith("is_")}
  return found | {name: bool(np.asarray(step[name])) for name in step if name.startswith("is_")}


def _stack(values: list[Any]) -> Any:
  return tree.map_structure(lambda *leaves: np.stack(leaves), *values)
