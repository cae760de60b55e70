"""Golden vectors: what an adder must make of a trajectory, worked out by hand, whatever the adder or the store.

A test makes an adder from a case's numbers, runs the trajectory through it, and compares items, in order:

    for case in golden.N_STEP:
      writer = golden.RecordingWriter()
      golden.run_adder(make_n_step_adder(writer, case.num_steps, case.discount), case.trajectory)
      golden.assert_items_equal(writer.items("replay"), case.items)

With a store in place of the recorder, use a table that holds each item once (`fifo_table`), and `read_items`.
All numbers are sums of a few powers of two, so float32 holds them exactly and equality is exact. `read_cases` gives
longer random ones, whose items another program made: compare these with `rtol=1e-5`.
"""

import importlib.resources
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import dm_env
import numpy as np
import tree

from acme import replay, types

__all__ = [
  "N_STEP",
  "SEQUENCES",
  "NStepCase",
  "RecordingWriter",
  "SequenceCase",
  "Tick",
  "assert_items_equal",
  "episode",
  "fifo_table",
  "read_cases",
  "read_items",
  "run_adder",
  "stack",
]


class Tick(NamedTuple):
  """One timestep, and the action and extras that led to it; both are None at the first of an episode."""

  action: types.NestedArray
  timestep: dm_env.TimeStep
  extras: types.NestedArray = ()


class NStepCase(NamedTuple):
  """What an n-step transition adder must insert for a trajectory."""

  name: str
  num_steps: int
  discount: float  # γ
  trajectory: list[Tick]
  items: list[types.Transition]  # unbatched, in the order of insertion


class SequenceCase(NamedTuple):
  """What a sequence adder must insert for a trajectory."""

  name: str
  length: int
  period: int
  end: str  # "zero_pad", "truncate", "write" or "continue"
  trajectory: list[Tick]
  items: list[types.Sequence]  # unbatched, in the order of insertion


def episode(
  rewards: Sequence[Any], discounts: Sequence[float], *, first: int = 0, extras: bool = False, open_end: bool = False
) -> list[Tick]:
  """Makes an episode of len(rewards) steps.

  Observation t is the number `first + t`, the action taken there `10 + first + t`, its extras `{"core": -(first + t)}`.

  Args:
    rewards: r_1, r_2, …
    discounts: d_1, d_2, …; the last one 0 for a termination, above 0 for a truncation.
    first: the first observation.
    extras: whether steps have any.
    open_end: whether the episode is still in progress after the last step.
  """
  ticks = [Tick(None, dm_env.restart(np.float32(first)))]
  for t, (reward, discount) in enumerate(zip(rewards, discounts, strict=True)):
    last = t == len(rewards) - 1 and not open_end
    step_type = dm_env.StepType.LAST if last else dm_env.StepType.MID
    reward = np.asarray(reward, np.float32)[()]
    timestep = dm_env.TimeStep(step_type, reward, np.float32(discount), np.float32(first + t + 1))
    ticks.append(Tick(np.int32(10 + first + t), timestep, _extras(first + t) if extras else ()))
  return ticks


def run_adder(adder: replay.Adder, trajectory: Iterable[Tick]) -> None:
  """Shows an adder a trajectory of one or more episodes."""
  for tick in trajectory:
    if tick.action is None:
      adder.add_first(tick.timestep)
    else:
      adder.add(tick.action, tick.timestep, tick.extras)


def stack(trajectories: Sequence[Sequence[Tick]]) -> list[Tick]:
  """Puts N trajectories of as many ticks side by side: leaves have a leading [N], and `step_type` is an int array [N].

  Where one environment begins anew its action, which an adder must pass over, is 99.
  """
  ticks = []
  like = next((tick for trajectory in trajectories for tick in trajectory if tick.action is not None), None)
  for t, column in enumerate(zip(*trajectories, strict=True)):
    timestep = dm_env.TimeStep(
      step_type=np.array([int(tick.timestep.step_type) for tick in column]),
      reward=np.stack([np.float32(0) if tick.timestep.first() else tick.timestep.reward for tick in column]),
      discount=np.stack([np.float32(1) if tick.timestep.first() else tick.timestep.discount for tick in column]),
      observation=np.stack([tick.timestep.observation for tick in column]),
    )
    if t == 0 or like is None:
      ticks.append(Tick(None, timestep))
      continue
    actions = np.stack([np.int32(99) if tick.action is None else tick.action for tick in column])
    zeros = tree.map_structure(np.zeros_like, like.extras)
    extras = [zeros if tick.action is None else tick.extras for tick in column]
    ticks.append(Tick(actions, timestep, tree.map_structure(lambda *leaves: np.stack(leaves), *extras)))
  return ticks


def fifo_table(name: str = "replay", max_size: int = 100) -> replay.Table:
  """A table from which `read_items` takes each item once, the oldest first."""
  return replay.Table(name=name, max_size=max_size, sampler=replay.Fifo(), max_times_sampled=1)


def read_items(store: replay.Store, table: str = "replay") -> list[Any]:
  """Takes every item out of a `fifo_table`, unbatched."""
  dataset = store.dataset(table, batch_size=1)
  items = []
  while store.available(table) >= 1:
    items.append(tree.map_structure(lambda leaf: np.asarray(leaf)[0], next(dataset).data))
  return items


def assert_items_equal(actual: Sequence[Any], expected: Sequence[Any], rtol: float = 0.0) -> None:
  """Raises AssertionError where two lists of items differ in number, order, kind, shape or a value, beyond `rtol`."""
  if len(actual) != len(expected):
    raise AssertionError(f"Expected {len(expected)} items:\n{_lines(expected)}\ngot {len(actual)}:\n{_lines(actual)}")
  for i, (got, want) in enumerate(zip(actual, expected, strict=True)):
    tree.assert_same_structure(got, want)
    for (path, a), b in zip(tree.flatten_with_path(got), tree.flatten(want), strict=True):
      np.testing.assert_allclose(a, b, rtol, err_msg=f"item {i}, {'.'.join(map(str, path))}")
      if np.shape(a) != np.shape(b):
        raise AssertionError(f"Item {i}, {path}: expected shape {np.shape(b)}, got {np.shape(a)}.")


def read_cases() -> tuple[list[NStepCase], list[SequenceCase]]:
  """Random trajectories of one to four episodes, some with extras, and the items that they make.

  Items of padding alone, which a period above the length would make at an episode's end, say nothing and are left out.
  """
  recorded = json.loads(importlib.resources.files("acme_testing").joinpath("golden_adders.json").read_text())
  n_step = [
    NStepCase(
      f"{case['name']}, {case['n_step']} steps",
      case["n_step"],
      case["additional_discount"],
      _read_trajectory(case["episodes"]),
      [types.Transition(extras=_floats(item.pop("extras", ())), **_arrays(item)) for item in case["expected_items"]],
    )
    for case in recorded["n_step_transitions"]
  ]
  sequences = [
    SequenceCase(
      f"{case['name']}, {case['end_of_episode']}, {case['sequence_length']} steps every {case['period']}",
      case["sequence_length"],
      case["period"],
      case["end_of_episode"],
      _read_trajectory(case["episodes"]),
      _read_sequences(_read_trajectory(case["episodes"]), case["expected_items"]),
    )
    for case in recorded["sequences"]
  ]
  return n_step, sequences


def _read_trajectory(episodes: Sequence[Mapping[str, Any]]) -> list[Tick]:
  ticks = []
  for recorded in episodes:
    ticks.append(Tick(None, dm_env.restart(_floats(recorded["first_observation"]))))
    for step in recorded["steps"]:
      step_type = dm_env.StepType.LAST if step["last"] else dm_env.StepType.MID
      values = [_floats(step[name]) for name in ("reward", "discount", "next_observation")]
      ticks.append(Tick(np.int32(step["action"]), dm_env.TimeStep(step_type, *values), _floats(step.get("extras", ()))))
  return ticks


def _read_sequences(trajectory: list[Tick], recorded: Sequence[dict[str, Any]]) -> list[types.Sequence]:
  """The recorded items; their previous actions and rewards, which were not recorded, are those of the trajectory."""
  return [_read_sequence(trajectory, item) for item in recorded if np.any(item["observation"])]


def _read_sequence(trajectory: list[Tick], recorded: dict[str, Any]) -> types.Sequence:
  extras, start = _floats(recorded.pop("extras", ())), np.array(recorded.pop("start_of_episode"))
  arrays = _arrays(recorded)
  ticks = [_find(trajectory, observation) for observation in arrays["observation"]]
  acted = [k is not None and k + 1 < len(trajectory) and trajectory[k + 1].action is not None for k in ticks]
  previous = [_previous(trajectory, k) for k in ticks]
  return types.Sequence(
    start_of_episode=start,
    mask=np.array([k is not None for k in ticks], np.float32),
    extras=extras,
    acted=np.array(acted, np.float32),
    previous_action=np.stack([action for action, _ in previous]),
    previous_reward=np.stack([reward for _, reward in previous]),
    **arrays,
  )


def _find(trajectory: list[Tick], observation: Any) -> int | None:
  """The tick of an observation; None for padding, whose zeros are no observation of these trajectories."""
  if not np.any(observation):
    return None
  return next(k for k, tick in enumerate(trajectory) if np.array_equal(tick.timestep.observation, observation))


def _previous(trajectory: list[Tick], k: int | None) -> tuple[types.NestedArray, types.NestedArray]:
  """The action and the reward that led to tick k; zeros at the first of an episode, and for padding."""
  if k is not None and trajectory[k].action is not None:
    return trajectory[k].action, trajectory[k].timestep.reward
  like = next(tick for tick in trajectory if tick.action is not None)
  return tree.map_structure(np.zeros_like, (like.action, like.timestep.reward))


def _arrays(recorded: Mapping[str, Any]) -> dict[str, np.ndarray]:
  return {name: np.asarray(x, np.int32 if name == "action" else np.float32)[()] for name, x in recorded.items()}


def _floats(recorded: Any) -> Any:
  """Numbers, lists and dicts of these as float32; extras that are not there stay ()."""
  if isinstance(recorded, dict):
    return {name: _floats(x) for name, x in recorded.items()}
  return recorded if recorded == () else np.asarray(recorded, np.float32)[()]


class RecordingWriter(replay.Writer):
  """A writer that keeps every step and says what its items stand for: an adder's test needs no store."""

  def __init__(self, num_streams: int | None = None) -> None:
    self.num_streams = num_streams
    self._rows: list[list[types.Step]] = [[] for _ in range(num_streams or 1)]
    self._items: list[tuple[str, int, int, Any, float | None]] = []  # table, stream, newest row, trajectory, priority

  @property
  def priorities(self) -> list[float | None]:
    """The priorities of the items, in the order of insertion."""
    return [priority for *_, priority in self._items]

  def append(self, step: types.Step) -> None:
    for i, rows in enumerate(self._rows):
      rows.append(tree.map_structure(lambda leaf, i=i: np.array(leaf if self.num_streams is None else leaf[i]), step))

  def create_item(
    self,
    table: str,
    trajectory: replay.TransitionItem | replay.SequenceItem,
    priority: float | None = None,
    streams: np.ndarray | None = None,
  ) -> None:
    if streams is None:
      self._items.append((table, 0, len(self._rows[0]) - 1, trajectory, priority))
      return
    for k, stream in enumerate(streams):
      one = tree.map_structure(lambda leaf, k=k: np.asarray(leaf)[k], trajectory)
      self._items.append((table, int(stream), len(self._rows[stream]) - 1, one, priority))

  def items(self, table: str = "replay", stream: int | None = None) -> list[Any]:
    """The items of a table, of one stream or of all, unbatched, as a store would sample them now."""
    found = []
    for name, of, newest, trajectory, _ in self._items:
      if name == table and stream in (None, of):
        resolve = _transition if isinstance(trajectory, replay.TransitionItem) else _sequence
        found.append(resolve(self._rows[of], newest, trajectory))
    return found

  def save(self) -> types.State:
    return {"rows": [[tuple(row) for row in rows] for rows in self._rows], "items": list(self._items)}

  def restore(self, state: types.State) -> None:
    self._rows = [[types.Step(*row) for row in rows] for rows in state["rows"]]
    self._items = list(state["items"])


def _transition(rows: list[types.Step], newest: int, item: replay.TransitionItem) -> types.Transition:
  start = newest - int(item.num_steps)
  return types.Transition(
    observation=rows[start].observation,
    action=rows[start + 1].action,
    reward=item.reward,
    discount=item.discount,
    next_observation=rows[newest].observation,
    extras=rows[start + 1].extras,
  )


def _sequence(rows: list[types.Step], newest: int, item: replay.SequenceItem) -> types.Sequence:
  length, padding = int(item.length), int(item.padding)
  steps = [_sequence_step(rows, k) for k in range(newest - length + 1, newest + 1)]
  steps += [tree.map_structure(np.zeros_like, steps[-1])] * padding
  return tree.map_structure(lambda *leaves: np.stack(leaves), *steps)._replace(core=item.core)


def _sequence_step(rows: list[types.Step], k: int) -> types.Sequence:
  """Step k: its observation and what led to it from row k, the rest from the row after, zeros where an episode ends."""
  ended = k + 1 == len(rows) or bool(rows[k + 1].start_of_episode)
  after = rows[k] if ended else rows[k + 1]
  values = (after.action, after.reward, after.discount, after.extras)
  action, reward, discount, extras = tree.map_structure(np.zeros_like, values) if ended else values
  return types.Sequence(
    observation=rows[k].observation,
    action=action,
    reward=reward,
    discount=discount,
    start_of_episode=rows[k].start_of_episode,
    mask=np.float32(1),
    extras=extras,
    acted=np.float32(not ended),
    previous_action=rows[k].action,
    previous_reward=rows[k].reward,
  )


def _extras(observation: int) -> dict[str, np.ndarray]:
  return {"core": np.array([-observation], np.float32)}


def _lines(items: Sequence[Any]) -> str:
  return "\n".join(map(str, items))


def _t(o: int, to: int, reward: Any, discount: float, *, extras: bool = False) -> types.Transition:
  """A transition between two observations of `episode`."""
  reward = np.asarray(reward, np.float32)
  return types.Transition(
    np.float32(o), np.int32(10 + o), reward, np.float32(discount), np.float32(to), _extras(o) if extras else ()
  )


N_STEP: tuple[NStepCase, ...] = (
  NStepCase(  # s1 → s2 and so on of ALGORITHMS.md, counted from 1.
    "the design's: two steps, γ 1, discounts one half",
    2,
    1.0,
    episode([1, 1, 1], [0.5, 0.5, 0], first=1),
    [_t(1, 2, 1, 0.5), _t(1, 3, 1.5, 0.25), _t(2, 4, 1.5, 0), _t(3, 4, 1, 0)],
  ),
  NStepCase(
    "one step, whose R and D have no γ in them",
    1,
    0.5,
    episode([1, 2, 4], [1, 0.5, 0]),
    [_t(0, 1, 1, 1), _t(1, 2, 2, 0.5), _t(2, 3, 4, 0)],
  ),
  NStepCase(  # s0 → s3: 1 + ½·2 + ¼·4 = 3, D = ¼. s1 → s4: 2 + ½·4 + ¼·8 = 6. s2 → s4: 4 + ½·8 = 8.
    "three steps, γ one half, truncated: the last transitions bootstrap",
    3,
    0.5,
    episode([1, 2, 4, 8], [1, 1, 1, 1]),
    [_t(0, 1, 1, 1), _t(0, 2, 2, 0.5), _t(0, 3, 3, 0.25), _t(1, 4, 6, 0.25), _t(2, 4, 8, 0.5), _t(3, 4, 8, 1)],
  ),
  NStepCase(  # s0 → s3: 1 + ½·½·2 + ¼·¼·4 = 1.75, D = ¼·⅛ = 1/32. s1 → s4: 2 + ¼·4 + 1/16·8 = 3.5.
    "three steps, γ one half, discounts one half, terminated",
    3,
    0.5,
    episode([1, 2, 4, 8], [0.5, 0.5, 0.5, 0]),
    [_t(0, 1, 1, 0.5), _t(0, 2, 1.5, 0.125), _t(0, 3, 1.75, 0.03125), _t(1, 4, 3.5, 0), _t(2, 4, 6, 0), _t(3, 4, 8, 0)],
  ),
  NStepCase(  # As above with d_4 = ½: D of s1 → s4 = ¼·⅛, of s2 → s4 = ½·¼, of s3 → s4 = ½.
    "three steps, γ one half, discounts one half, truncated",
    3,
    0.5,
    episode([1, 2, 4, 8], [0.5, 0.5, 0.5, 0.5]),
    [
      _t(0, 1, 1, 0.5),
      _t(0, 2, 1.5, 0.125),
      _t(0, 3, 1.75, 0.03125),
      _t(1, 4, 3.5, 0.03125),
      _t(2, 4, 6, 0.125),
      _t(3, 4, 8, 0.5),
    ],
  ),
  NStepCase(
    "an episode shorter than n", 5, 0.5, episode([1, 2], [1, 0]), [_t(0, 1, 1, 1), _t(0, 2, 2, 0), _t(1, 2, 2, 0)]
  ),
  NStepCase("an episode of one step", 3, 0.5, episode([4], [0]), [_t(0, 1, 4, 0)]),
  NStepCase(
    "an episode in progress: nothing of what is to come",
    2,
    0.5,
    episode([1, 2, 4], [1, 1, 1], open_end=True),
    [_t(0, 1, 1, 1), _t(0, 2, 2, 0.5), _t(1, 3, 4, 0.5)],
  ),
  NStepCase(
    "two episodes: no transition crosses",
    2,
    0.5,
    episode([1, 2], [1, 0]) + episode([4, 8], [1, 1], first=100),
    [_t(0, 1, 1, 1), _t(0, 2, 2, 0), _t(1, 2, 2, 0), _t(100, 101, 4, 1), _t(100, 102, 8, 0.5), _t(101, 102, 8, 1)],
  ),
  NStepCase(
    "extras are those of the first step",
    2,
    1.0,
    episode([1, 1, 1], [1, 1, 0], extras=True),
    [
      _t(0, 1, 1, 1, extras=True),
      _t(0, 2, 2, 1, extras=True),
      _t(1, 3, 2, 0, extras=True),
      _t(2, 3, 1, 0, extras=True),
    ],
  ),
  NStepCase(
    "a reward of two numbers",
    2,
    0.5,
    episode([[1, 16], [2, 32]], [0.5, 0]),
    [_t(0, 1, [1, 16], 0.5), _t(0, 2, [1.5, 24], 0), _t(1, 2, [2, 32], 0)],
  ),
)


_PAD = None  # A step of padding in the tables below.


def _s(trajectory: list[Tick], observations: Sequence[int | None]) -> types.Sequence:
  """The sequence of some observations of a trajectory, each with what the next tick of its episode says, or padding."""
  at = {int(tick.timestep.observation): k for k, tick in enumerate(trajectory)}
  like = next(tick for tick in trajectory if tick.action is not None)
  steps = []
  for observation in observations:
    k = at.get(observation, -1) if observation is not _PAD else -1
    after = trajectory[k + 1] if k >= 0 and k + 1 < len(trajectory) else None
    live = after is not None and after.action is not None
    values = (like.action, like.timestep.reward, like.timestep.discount, like.extras)
    if live:
      assert after is not None
      values = (after.action, after.timestep.reward, after.timestep.discount, after.extras)
    else:  # The final observation of an episode, and padding.
      values = tree.map_structure(np.zeros_like, values)
    action, reward, discount, extras = values
    real = observation is not _PAD
    previous_action, previous_reward = _previous(trajectory, k if real else None)
    steps.append(
      types.Sequence(
        observation=np.float32(observation or 0),
        action=action,
        reward=reward,
        discount=discount,
        start_of_episode=real and trajectory[k].action is None,
        mask=np.float32(real),
        extras=extras,
        acted=np.float32(live),
        previous_action=previous_action,
        previous_reward=previous_reward,
      )
    )
  return tree.map_structure(lambda *leaves: np.stack(leaves), *steps)


def _case(
  name: str, length: int, period: int, end: str, trajectory: list[Tick], observations: Sequence[Sequence[int | None]]
) -> SequenceCase:
  return SequenceCase(name, length, period, end, trajectory, [_s(trajectory, item) for item in observations])


# Six steps (the final observation, 5, is one), so items end at steps 3 and 5, and the next would at 7: one of padding.
_SIX = episode([1, 2, 4, 8, 16], [1, 0.5, 1, 0.5, 0], extras=True)
_FIVE = episode([1, 2, 4, 8], [1, 1, 1, 1])  # Truncated.
_TWO = episode([1], [0])
_SHORT_THEN_LONG = episode([1, 2], [1, 0]) + episode([4, 8, 16], [1, 1, 1], first=100)

SEQUENCES: tuple[SequenceCase, ...] = (
  _case("zero_pad", 3, 2, "zero_pad", _SIX, [[0, 1, 2], [2, 3, 4], [4, 5, _PAD]]),
  _case("truncate", 3, 2, "truncate", _SIX, [[0, 1, 2], [2, 3, 4], [4, 5]]),
  _case("write", 3, 2, "write", _SIX, [[0, 1, 2], [2, 3, 4], [3, 4, 5]]),
  _case("continue", 3, 2, "continue", _SIX, [[0, 1, 2], [2, 3, 4]]),
  _case("zero_pad, the end falls on an item", 3, 2, "zero_pad", _FIVE, [[0, 1, 2], [2, 3, 4]]),
  _case("truncate, the end falls on an item", 3, 2, "truncate", _FIVE, [[0, 1, 2], [2, 3, 4]]),
  _case("write, the end falls on an item", 3, 2, "write", _FIVE, [[0, 1, 2], [2, 3, 4]]),
  _case("zero_pad, a short episode", 4, 2, "zero_pad", _TWO, [[0, 1, _PAD, _PAD]]),
  _case("truncate, a short episode", 4, 2, "truncate", _TWO, [[0, 1]]),
  _case("write drops a short episode", 4, 2, "write", _TWO, []),
  _case("period 1", 3, 1, "zero_pad", _FIVE, [[0, 1, 2], [1, 2, 3], [2, 3, 4]]),
  _case("no overlap", 3, 3, "zero_pad", _SIX, [[0, 1, 2], [3, 4, 5]]),
  _case("no overlap, padded", 4, 4, "zero_pad", _SIX, [[0, 1, 2, 3], [4, 5, _PAD, _PAD]]),
  _case(
    "zero_pad, two episodes: none crosses",
    3,
    2,
    "zero_pad",
    _SHORT_THEN_LONG,
    [[0, 1, 2], [100, 101, 102], [102, 103, _PAD]],
  ),
  _case("write, two episodes", 3, 2, "write", _SHORT_THEN_LONG, [[0, 1, 2], [100, 101, 102], [101, 102, 103]]),
  _case(
    "continue crosses, and start_of_episode says where",
    3,
    2,
    "continue",
    _SHORT_THEN_LONG,
    [[0, 1, 2], [2, 100, 101], [101, 102, 103]],
  ),
  _case(
    "continue, an item ends with the first step of an episode",
    3,
    1,
    "continue",
    _SHORT_THEN_LONG,
    [[0, 1, 2], [1, 2, 100], [2, 100, 101], [100, 101, 102], [101, 102, 103]],
  ),
  _case("sequences of one step", 1, 1, "zero_pad", _SHORT_THEN_LONG, [[0], [1], [2], [100], [101], [102], [103]]),
)
