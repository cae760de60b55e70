"""Episodes of RLDS: what came of an action lies at the step at which it was taken."""

import numpy as np
import pytest

from acme_replay import datasets


def step(observation, action=9, reward=9.0, discount=1.0, **flags):
  flags = {"is_first": False, "is_last": False, "is_terminal": False} | flags
  observation = {"x": np.float32(observation)}
  return {"observation": observation, "action": np.int32(action), "reward": reward, "discount": discount, **flags}


def episode(*ends, **last):
  """Three actions, 0 to 2, with rewards 1 to 3; the last step has nothing but an observation."""
  steps = [step(t, t, float(t + 1), is_first=t == 0) for t in range(3)]
  return {"steps": iter([*steps, step(3, **last)]), "id": 7}


@pytest.mark.parametrize(
  ("last", "discount"),
  [
    ({"is_last": True, "is_terminal": True}, [1, 1, 0]),
    ({"is_last": True, "is_terminal": True, "discount": 0.0}, [1, 1, 0]),
    ({"is_last": True}, [1, 1, 1]),
    ({}, [1, 1, 1]),
  ],
  ids=["terminated", "terminated, with a discount of its own", "truncated", "cut short"],
)
def test_steps_are_aligned(last, discount):
  (found,) = datasets.from_rlds([episode(**last)])
  assert found.observation["x"].tolist() == [0, 1, 2, 3]
  assert (found.action.tolist(), found.reward.tolist()) == ([0, 1, 2], [1, 2, 3])
  assert found.discount.tolist() == discount and (found.extras, found.core) == ((), ())


def test_discounts_that_say_themselves_are_kept():
  steps = [step(0, discount=0.5, is_first=True), step(1, discount=0.0), step(2, is_last=True)]
  (found,) = datasets.from_rlds([{"steps": steps}])
  assert found.discount.tolist() == [0.5, 0.0]


@pytest.mark.parametrize(
  ("steps", "message"),
  [
    ([step(0, is_first=True)], "episode 1: expected two steps or more.*got 1"),
    ([], "got 0"),
    ([step(0), step(1, is_last=True), step(2)], "expected is_last at step 2 alone, of 3, got it at step 1"),
    ([step(0), step(1, is_first=True), step(2)], "expected is_first at step 0 alone, of 3, got it at step 1"),
    ([step(0, is_terminal=True), step(1)], "expected is_terminal at step 1 alone"),
    ([{"observation": 1}, {}], "episode 1, step 0: it lacks action, reward, discount, is_last, is_terminal"),
  ],
)
def test_what_is_no_episode_is_named(steps, message):
  with pytest.raises(ValueError, match=message):
    list(datasets.from_rlds([episode(is_last=True), {"steps": steps}]))


def test_tensors_become_arrays(tmp_path):
  class Tensor:
    def __init__(self, value):
      self.value = value

    def __array__(self, dtype=None, copy=None):
      return np.asarray(self.value, dtype)

  steps = [
    {key: Tensor(value) if key != "observation" else value for key, value in s.items()} for s in episode()["steps"]
  ]
  (found,) = datasets.from_rlds([{"steps": steps}])
  assert found.reward.tolist() == [1, 2, 3] and isinstance(found.reward, np.ndarray)
  datasets.write(tmp_path / "0.npz", found)
