"""Actors: batching, ε, noise, what they record, and their state."""

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import specs
from acme_jax import acting, variables

ACTION = specs.DiscreteArray(4, np.int64)


class Source:
  """Parameters w [D, A]."""

  def __init__(self, w):
    self.w = w

  def get_variables(self, names):
    assert list(names) == ["policy"]
    return [{"w": self.w}]


class Adder:
  def __init__(self):
    self.seen = []

  def add_first(self, timestep):
    self.seen.append(timestep)

  def add(self, action, next_timestep):
    self.seen.append((action, next_timestep))

  def save(self):
    return len(self.seen)

  def restore(self, state):
    del self.seen[state:]


@jax.jit
def greedy(params, observation):
  return jnp.argmax(observation @ params["w"], axis=-1)


@jax.jit
def noisy(params, key, step, observation):
  noise = jax.random.normal(jax.random.fold_in(key, step), (observation.shape[0], 4))
  return jnp.argmax(observation @ params["w"] + 5 * noise, axis=-1)


W = np.eye(4, dtype=np.float32)


def actor(epsilon=0.0, **kwargs):
  return acting.EpsilonGreedyActor(greedy, Source(W), ACTION, epsilon=lambda step: epsilon, seed=1, **kwargs)


def test_one_environment_is_a_batch_of_one():
  one, many = actor(), actor(num_envs=4)
  actions = [one.select_action(row) for row in W]
  batch = many.select_action(W)
  assert actions == [0, 1, 2, 3] == batch.tolist()
  for action, spec in ((actions[0], ACTION), (batch, specs.Array((4,), np.int64))):
    spec.validate(action)
  batch[0] = 9  # The environment may write to its actions.


def test_epsilon_is_the_share_of_random_actions():
  n = 4000
  one, many = actor(0.4), actor(0.4, num_envs=n)
  share = np.mean([one.select_action(W[0]) == 0 for _ in range(n)])
  assert share == pytest.approx(0.6 + 0.1, abs=0.03)
  batch = many.select_action(np.repeat(W[:1], n, axis=0))
  assert np.mean(batch == 0) == pytest.approx(0.7, abs=0.03)
  assert batch.dtype == np.int64


def test_epsilon_zero_draws_nothing():
  a = actor(0.0)
  before = a.save()["random"]
  assert {int(a.select_action(W[2])) for _ in range(50)} == {2}
  assert a.save()["random"] == before


def test_schedule_counts_environment_steps():
  schedule = acting.linear_schedule(1.0, 0.2, 100)
  assert [schedule(s) for s in (0, 50, 100, 1000)] == pytest.approx([1, 0.6, 0.2, 0.2])
  assert acting.linear_schedule(1.0, 0.2, 0)(0) == 0.2
  seen = []
  many = acting.EpsilonGreedyActor(
    greedy, Source(W), ACTION, epsilon=lambda step: seen.append(step) or 0.0, seed=0, num_envs=4
  )
  for _ in range(3):
    many.select_action(W)
  assert seen == [0, 4, 8]


def test_state_goes_on_bit_for_bit():
  def make():
    return acting.EpsilonGreedyActor(
      noisy, Source(W), ACTION, epsilon=lambda step: 0.3, seed=1, noise_seed=2, adder=Adder()
    )

  a, b = make(), make()
  for _ in range(20):
    a.select_action(W[0])
  b.restore(a.save())
  assert [int(a.select_action(W[0])) for _ in range(50)] == [int(b.select_action(W[0])) for _ in range(50)]


def test_noise_differs_by_step():
  a = acting.FeedForwardActor(noisy, Source(0 * W), ACTION, noise_seed=3)
  assert len({int(a.select_action(W[0])) for _ in range(40)}) == 4


def test_records_with_the_adder_only():
  adder = Adder()
  a = actor(adder=adder)
  first = dm_env.restart(W[0])
  a.observe_first(first)
  a.observe(1, dm_env.transition(1.0, W[1]))
  assert adder.seen[0] is first
  assert adder.seen[1][0] == 1
  actor().observe_first(first)


def test_nested_observations_and_actions():
  spec = {"arm": specs.BoundedArray((2,), np.float32, -1, 1), "hand": specs.BoundedArray((), np.float64, -1, 1)}

  @jax.jit
  def policy(params, observation):
    return {"arm": observation["a"] @ params["w"][:, :2], "hand": observation["b"]}

  a = acting.FeedForwardActor(policy, Source(W), spec)
  action = a.select_action({"a": W[1], "b": 0.5})
  np.testing.assert_array_equal(action["arm"], [0, 1])
  assert action["hand"] == 0.5
  for name, leaf in spec.items():
    leaf.validate(action[name])


def test_update_takes_new_parameters_by_reference():
  source = Source(jnp.asarray(W))
  client = variables.VariableClient(source, "policy")
  assert client.params["w"] is source.w
  source.w = W[::-1]  # numpy's, as from another process
  client.update()
  assert isinstance(client.params["w"], jax.Array)
  a = acting.EpsilonGreedyActor(greedy, source, ACTION, epsilon=lambda step: 0.0, seed=0)
  assert a.select_action(W[0]) == 3
  source.w = W
  assert a.select_action(W[0]) == 3
  a.update()
  assert a.select_action(W[0]) == 0
