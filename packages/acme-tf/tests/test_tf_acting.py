"""Actors: batches, exploration, memory, and exact saving."""

import dm_env
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from acme import core, specs
from acme_tf import acting, networks, variables

OBSERVATION = np.ones(3, np.float32)
X = OBSERVATION[None]
DISCRETE = specs.DiscreteArray(4, np.int32)
BOUNDED = {
  "arm": specs.BoundedArray((2,), np.float32, [-1, 0], [1, 4]),
  "hand": specs.BoundedArray((), np.float32, -2, 0),
}


class Source(core.VariableSource):
  def __init__(self, make, *inputs, seed=1):
    self.network = variables.create(make, *inputs, seed=seed)

  def get_variables(self, names):
    return [variables.values(self.network.variables) for _ in names]


class Adder:
  def __init__(self):
    self.calls = []

  def add_first(self, timestep):
    self.calls.append(("first",))

  def add(self, action, next_timestep, extras=()):
    self.calls.append((action, extras))

  def save(self):
    return {}

  def restore(self, state):
    pass


def make_q():
  return snt.Linear(4)


def make_discrete(epsilon=None, source=None, **kwargs):
  network = variables.create(make_q, X)
  policy = lambda observation: tf.argmax(network(observation), axis=-1)  # noqa: E731
  source = source or Source(make_q, X)
  if epsilon is None:
    return acting.FeedForwardActor(policy, source, DISCRETE, variables=network.variables, **kwargs)
  return acting.EpsilonGreedyActor(
    policy, source, DISCRETE, variables=network.variables, epsilon=lambda step: epsilon, seed=0, **kwargs)  # fmt: skip


def test_acts_by_the_sources_newest_variables():
  source, adder = Source(make_q, X), Adder()
  actor = make_discrete(source=source, adder=adder)
  action = actor.select_action(OBSERVATION)
  assert action == np.argmax(source.network(X)) and action.dtype == np.int32 and action.shape == ()
  source.network.b.assign([0, 0, 0, 100.0])
  actor.update()
  assert actor.select_action(OBSERVATION) == 3
  actor.observe_first(dm_env.restart(OBSERVATION))
  actor.observe(action, dm_env.transition(0.0, OBSERVATION))
  assert adder.calls == [("first",), (action, ())]


def test_several_environments_are_a_batch():
  observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
  actor = make_discrete(num_envs=5)
  single = make_discrete()
  actions = actor.select_action(observations)
  assert actions.shape == (5,)
  np.testing.assert_array_equal(actions, [single.select_action(o) for o in observations])


@pytest.mark.parametrize("num_envs", [None, 6])
def test_epsilon_greedy(num_envs):
  observation = OBSERVATION if num_envs is None else np.stack([OBSERVATION] * num_envs)
  greedy = np.unique(make_discrete(num_envs=num_envs).select_action(observation))
  assert set(np.unique(make_discrete(0.0, num_envs=num_envs).select_action(observation))) == set(greedy)
  always = make_discrete(1.0, num_envs=num_envs)
  actions = [always.select_action(observation) for _ in range(60)]
  assert set(np.unique(actions)) == {0, 1, 2, 3}
  half = make_discrete(0.5, num_envs=num_envs)
  share = np.mean([half.select_action(observation) == greedy for _ in range(200)])
  assert 0.5 < share < 0.75  # 1 − ε + ε/4 = .625


@pytest.mark.parametrize("num_envs", [None, 3])
def test_gaussian_noise_is_scaled_and_clipped_to_a_nest_of_bounds(num_envs):
  batch = num_envs or 1

  def make(sigma, random_steps=0):
    policy = lambda observation: {"arm": tf.tile([[0.0, 2.0]], [batch, 1]), "hand": tf.fill([batch], -1.0)}  # noqa: E731
    network = variables.create(make_q, X)
    return acting.GaussianActor(
      policy, Source(make_q, X), BOUNDED, variables=network.variables, sigma=sigma, seed=0, num_envs=num_envs,
      random_steps=random_steps)  # fmt: skip

  observation = np.stack([OBSERVATION] * batch) if num_envs else OBSERVATION
  actor = make(0.1)
  actions = [actor.select_action(observation) for _ in range(400)]
  arm = np.array([a["arm"] for a in actions]).reshape(-1, 2)
  assert arm.dtype == np.float32 and actions[0]["hand"].shape == ((num_envs,) if num_envs else ())
  np.testing.assert_allclose(arm.std(axis=0), [0.1, 0.2], rtol=0.15)
  np.testing.assert_allclose(arm.mean(axis=0), [0, 2], atol=0.03)
  wild = np.array([make(50.0).select_action(observation)["arm"] for _ in range(5)]).reshape(-1, 2)
  assert (wild >= [-1, 0]).all() and (wild <= [1, 4]).all()
  uniform = make(0.0, random_steps=300 * batch)
  drawn = np.array([uniform.select_action(observation)["arm"] for _ in range(300)]).reshape(-1, 2)
  assert drawn.dtype == np.float32
  np.testing.assert_allclose(drawn.std(axis=0), np.array([2, 4]) / 12**0.5, rtol=0.15)
  np.testing.assert_array_equal(uniform.select_action(observation)["arm"].reshape(-1, 2), [[0, 2]] * batch)


@pytest.mark.parametrize("kind", ["epsilon", "gaussian", "noise"])
def test_restoring_continues_the_same_actions(kind):
  def make():
    if kind == "epsilon":
      return make_discrete(0.5)
    network = variables.create(lambda: networks.GaussianHead(2), X)
    spec = specs.BoundedArray((2,), np.float32, -1, 1)
    source = Source(lambda: networks.GaussianHead(2), X)
    if kind == "gaussian":
      return acting.GaussianActor(
        lambda o: network(o).mean(), source, spec, variables=network.variables, sigma=0.3, seed=0
      )
    return acting.FeedForwardActor(
      lambda seed, o: network(o).sample(seed, 1)[0], source, spec, variables=network.variables, noise_seed=2**40 + 3
    )

  actor = make()
  for _ in range(5):
    actor.select_action(OBSERVATION)
  state = actor.save()
  later = [actor.select_action(OBSERVATION) for _ in range(8)]
  assert len(np.unique(later, axis=0)) > 1
  other = make()
  other.restore(state)
  np.testing.assert_array_equal(later, [other.select_action(OBSERVATION) for _ in range(8)])


def make_recurrent(num_envs=None, adder=None):
  make = lambda: snt.VanillaRNN(4)  # noqa: E731
  inputs = X, np.zeros((1, 4), np.float32)
  network = variables.create(make, *inputs)

  def policy(observation, state):
    output, state = network(observation, state)
    return tf.argmax(output, axis=-1), state

  return acting.RecurrentActor(
    policy, Source(make, *inputs), DISCRETE, variables=network.variables, initial_state=np.zeros(4, np.float32),
    num_envs=num_envs, adder=adder)  # fmt: skip


def test_memory_goes_to_the_adder_and_is_reset():
  adder = Adder()
  actor = make_recurrent(adder=adder)
  for _ in range(2):
    actor.observe_first(dm_env.restart(OBSERVATION))
    for _ in range(2):
      actor.observe(actor.select_action(OBSERVATION), dm_env.transition(0.0, OBSERVATION))
  states = [call[1]["core_state"] for call in adder.calls if call != ("first",)]
  np.testing.assert_array_equal(states[0], np.zeros(4))
  assert np.abs(states[1]).min() > 0
  np.testing.assert_array_equal(states[:2], states[2:])
  saved = actor.save()
  actor.select_action(OBSERVATION)
  expected = actor.save()
  other = make_recurrent(adder=adder)
  other.restore(saved)
  other.select_action(OBSERVATION)
  tf.nest.map_structure(np.testing.assert_array_equal, expected, other.save())


def test_memory_of_one_environment_is_reset_alone():
  adder = Adder()
  actor = make_recurrent(num_envs=2, adder=adder)
  observations = np.stack([OBSERVATION] * 2)
  kinds = dm_env.StepType
  actor.observe_first(dm_env.TimeStep(np.array([kinds.FIRST] * 2), np.zeros(2), np.ones(2), observations))
  for step_types in ([kinds.MID, kinds.LAST], [kinds.MID, kinds.FIRST], [kinds.MID, kinds.MID]):
    action = actor.select_action(observations)
    actor.observe(action, dm_env.TimeStep(np.array(step_types), np.zeros(2), np.ones(2), observations))
  last = adder.calls[-1][1]["core_state"]
  assert np.abs(last[0]).min() > 0
  np.testing.assert_array_equal(last[1], 0)


def test_linear_schedule():
  epsilon = acting.linear_schedule(1.0, 0.1, 9)
  np.testing.assert_allclose([epsilon(s) for s in (0, 5, 9, 100)], [1.0, 0.5, 0.1, 0.1])
  assert acting.linear_schedule(1.0, 0.2, 0)(0) == 0.2
