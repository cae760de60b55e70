"""The loop over many environments: episodes stay apart, seeds and saving hold for each, Gymnasium's own fit in."""

import dm_env
import numpy as np
import pytest

import acme
from acme import loggers
from acme_testing import fakes

SPEC = fakes.make_spec()
FIRST, LAST = int(dm_env.StepType.FIRST), int(dm_env.StepType.LAST)


class VectorActor(acme.Actor):
  """Acts by a rule on observations alone, and keeps what it is shown."""

  def __init__(self):
    self.timesteps, self.actions, self.updates = [], [], 0

  def select_action(self, observation):
    return (np.abs(observation).sum(axis=1) * 10).astype(np.int32) % 3

  def observe_first(self, timestep):
    self.timesteps.append(timestep)

  def observe(self, action, next_timestep):
    self.actions.append(action)
    self.timesteps.append(next_timestep)

  def update(self, wait=False):
    self.updates += 1


def environments(lengths=(3, 5, 4)):
  return [fakes.FakeEnvironment(SPEC, episode_length=n) for n in lengths]


def make(lengths=(3, 5, 4), seed=0, **kwargs):
  actor, logger = VectorActor(), loggers.InMemoryLogger()
  return acme.VectorEnvironmentLoop(environments(lengths), actor, seed=seed, logger=logger, **kwargs), actor, logger


def test_every_environment_runs_its_episodes():
  loop, actor, logger = make()
  taken = loop.run(num_steps=60)
  kinds = np.stack([t.step_type for t in actor.timesteps])  # [T, N]
  for i, length in enumerate((3, 5, 4)):
    begins = np.flatnonzero(kinds[:, i] == FIRST)
    np.testing.assert_array_equal(np.diff(begins), length + 1)  # The first, `length` more, and then the next first.
    ends = np.flatnonzero(kinds[:, i] == LAST)
    np.testing.assert_array_equal(ends, begins[: len(ends)] + length)
    assert {row["episode_length"] for row in logger.rows if row["environment"] == i} == {length}
  assert taken == loop.steps == np.count_nonzero(kinds != FIRST) >= 60
  assert actor.updates == len(actor.actions)
  assert loop.counter.get("episodes") == len(logger.rows)


def test_returns_and_ends_are_those_of_each_environment():
  loop, actor, logger = make()
  loop.run(num_episodes=6)
  rewards = np.stack([t.reward for t in actor.timesteps])  # [T, N], zero at first timesteps
  for i in range(3):
    rows = [row for row in logger.rows if row["environment"] == i]
    kinds = np.stack([t.step_type for t in actor.timesteps])[:, i]
    episodes = np.split(rewards[:, i], np.flatnonzero(kinds == FIRST)[1:])
    for row, episode in zip(rows, episodes, strict=False):
      assert row["episode_return"] == pytest.approx(np.sum(episode, dtype=np.float64))


def test_an_environment_alone_gives_what_a_single_loop_gives():
  class Single(VectorActor):
    def select_action(self, observation):
      return super().select_action(observation[None])[0]

  rows = loggers.InMemoryLogger()
  acme.EnvironmentLoop(environments()[1], Single(), seed=7, logger=rows).run(num_episodes=4)
  loop, _, logger = make(lengths=(5,), seed=7)
  loop.run(num_episodes=4)
  for single, vector in zip(rows.rows, logger.rows, strict=True):
    assert {k: single[k] for k in ("episode_length", "episode_return", "truncated")} == {
      k: vector[k] for k in ("episode_length", "episode_return", "truncated")
    }


@pytest.mark.parametrize("steps", [0, 1, 8, 13, 29])
def test_saved_anywhere_it_goes_on_as_if_it_had_not_stopped(steps):
  whole, actor, _ = make()
  whole.run(num_steps=steps)
  done = len(actor.actions)
  state = whole.save()
  whole.run(num_steps=40)
  resumed, again, _ = make()
  resumed.restore(state)
  resumed.run(num_steps=40)
  assert resumed.steps == whole.steps
  for old, new in zip(actor.timesteps[-len(again.timesteps) :], again.timesteps, strict=True):
    for a, b in zip(old, new, strict=True):
      np.testing.assert_array_equal(a, b)
  assert len(actor.actions) - done == len(again.actions)


def test_what_cannot_be_seeded_cannot_be_saved():
  loop, _, _ = make(seed=None)
  assert not loop.reproducible
  with pytest.raises(RuntimeError, match="Cannot save this loop.*seed"):
    loop.save()


def test_wrong_environments():
  with pytest.raises(ValueError, match="one or more"):
    acme.VectorEnvironmentLoop([], VectorActor())
  others = [*environments((3,)), fakes.FakeEnvironment(fakes.make_spec("scalar"), episode_length=3)]
  with pytest.raises(ValueError, match="same specs, got 2"):
    acme.VectorEnvironmentLoop(others, VectorActor())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rewards_and_discounts_have_the_dtypes_of_their_specs(dtype):
  spec = SPEC._replace(
    rewards=acme.specs.Array((), dtype, name="reward"), discounts=acme.specs.BoundedArray((), dtype, 0, 1)
  )
  actor = VectorActor()
  members = [fakes.FakeEnvironment(spec) for _ in range(2)]
  acme.VectorEnvironmentLoop(members, actor, seed=0, logger=loggers.NullLogger()).run(num_steps=4)
  assert {(t.reward.dtype, t.discount.dtype) for t in actor.timesteps} == {(np.dtype(dtype),) * 2}


def test_an_episode_that_cannot_be_played_again_counts_no_more():
  loop, _, _ = make(lengths=(6, 6))
  loop.run(num_steps=6)
  state = loop.save()
  state["environments"][1]["observation"] = [np.full(5, 9, np.float32)]
  again, _, logger = make(lengths=(6, 6))
  with pytest.warns(UserWarning, match="came to another observation"):
    again.restore(state)
  again.run(num_steps=12)
  assert [row["episode_length"] for row in logger.rows][:2] == [6, 6]
  assert again.steps == 18
