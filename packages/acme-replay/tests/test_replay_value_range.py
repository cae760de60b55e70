"""Returns outside a critic's range are warned of, once on each side until they go much further."""

import dm_env
import pytest

import acme
from acme_replay.value_range import ReturnsInRange


class _NullAdder(acme.replay.Adder):
  def add_first(self, timestep):
    pass

  def add(self, action, next_timestep, extras=(), core=()):
    pass

  def reset(self):
    pass

  def save(self):
    return {}

  def restore(self, state):
    pass


@pytest.mark.parametrize(
  ("rewards", "warned"),
  [([1.0, 1.0, 1.0], None), ([0.0, 0.0, 20.0], "from 5 to 20"), ([-30.0, 0.0, 0.0], "from -30 to 0")],
)
def test_warns_of_returns_outside_the_support(rewards, warned, recwarn):
  adder = ReturnsInRange(_NullAdder(), 0.5, -10.0, 10.0)
  adder.add_first(dm_env.restart(0))
  for i, reward in enumerate(rewards):
    make = dm_env.termination if i == len(rewards) - 1 else dm_env.transition
    adder.add(0, make(reward, 0))
  messages = [str(warning.message) for warning in recwarn]
  assert len(messages) == (warned is not None)
  assert warned is None or (warned in messages[0] and "[-10, 10]" in messages[0])


def test_each_side_of_the_support_is_warned_of(recwarn):
  adder = ReturnsInRange(_NullAdder(), 1.0, -10.0, 10.0)
  for reward in (20.0, -30.0, 25.0, 50.0):
    adder.add_first(dm_env.restart(0))
    adder.add(0, dm_env.termination(reward, 0))
  assert [str(warning.message).split(" were")[0] for warning in recwarn] == [
    "Discounted returns from 20 to 20",
    "Discounted returns from -30 to -30",
    "Discounted returns from 50 to 50",
  ]


def test_an_episode_that_never_ends_is_warned_of_too_and_is_not_kept(recwarn):
  adder = ReturnsInRange(_NullAdder(), 0.99, -10.0, 10.0)
  adder.add_first(dm_env.restart(0))
  for _ in range(10_001):
    adder.add(0, dm_env.transition(1.0, 0, 1.0))
  assert len(recwarn) == 1 and "to 100 were seen" in str(recwarn[0].message)
  assert len(adder.save()["steps"][0]) == 1
