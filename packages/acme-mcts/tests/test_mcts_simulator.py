"""The simulator: copies that leave the environment alone, errors up front, rollouts."""

import copy

import dm_env
import numpy as np
import pytest

import acme
from acme import specs
from acme_mcts import config, models, search

ACTIONS = specs.DiscreteArray(2, np.int32)


class Line(dm_env.Environment):
  """Walk right from 0 to 3 for a reward of 1; after 6 steps the episode is truncated."""

  def __init__(self, start=0):
    self._start = start
    self.position = self.steps = None

  def reset(self):
    self.position, self.steps = self._start, 0
    return dm_env.restart(self._observation())

  def step(self, action):
    if self.position is None:
      return self.reset()
    self.position += 1 if action == 1 else -1
    self.steps += 1
    observation = self._observation()
    if self.position == 3:
      self.position = None
      return dm_env.termination(np.float32(1), observation)
    if self.steps == 6:
      self.position = None
      return dm_env.truncation(np.float32(0), observation)
    return dm_env.transition(np.float32(0), observation)

  def _observation(self):
    return np.array([self.position, self.steps], np.float32)

  def observation_spec(self):
    return specs.Array((2,), np.float32)

  def action_spec(self):
    return ACTIONS


class Saving(Line):
  """The same, which cannot be copied but saved."""

  def __deepcopy__(self, memo):
    raise RuntimeError("holds a socket")

  def save_state(self):
    return (self.position, self.steps)

  def load_state(self, state):
    self.position, self.steps = state


class SavesLess(Saving):
  """Its state leaves out the number of steps."""

  def load_state(self, state):
    self.position = state[0]


class SavesItself(Saving):
  """Its state is what later steps change."""

  def save_state(self):
    return vars(self)

  def load_state(self, state):
    vars(self).update(state)


class CannotLoad(Saving):
  def load_state(self, state):
    raise RuntimeError("no such state")


class Uncopyable(Line):
  def __deepcopy__(self, memo):
    raise RuntimeError("holds a socket")


class Selfish(Line):
  def __deepcopy__(self, memo):
    return self


class BeginsAnew(Line):
  """As Gymnasium's EzPickle, which copies the arguments of the constructor."""

  def __deepcopy__(self, memo):
    return BeginsAnew()


class ChanceFromOutside(Line):
  rng = np.random.default_rng(0)

  def step(self, action):
    return super().step(action)._replace(reward=np.float32(self.rng.random()))


class SharedChance(Line):
  rng = np.random.default_rng(0)

  def _observation(self):
    return self.rng.normal(size=2).astype(np.float32)


def evaluate(observations):
  return np.zeros((len(observations), 2)), observations[:, 0] * 0.01  # The farther right, the better.


def make_model(environment, discount=1.0, batch_size=4, **kwargs):
  simulator = models.Simulator(environment, **kwargs)
  return models.SimulatorModel(simulator, evaluate, ACTIONS, discount, batch_size)


@pytest.mark.parametrize("make", [Line, Saving, lambda: acme.wrappers.StepLimit(Line(), 5)])
@pytest.mark.parametrize("rollout_steps", [0, 10])
def test_searching_finds_the_way_and_leaves_the_environment_where_it_was(make, rollout_steps):
  environment = make()
  timestep = environment.reset()
  timestep = environment.step(1)
  model = make_model(environment, rollout_steps=rollout_steps)
  result = search.search(
    model,
    timestep.observation,
    config.MCTSConfig(num_simulations=40, evaluation_batch=4),
    np.random.default_rng(0),
    noise=False,
  )
  assert result.best_action() == 1
  assert result.q_values[1] > 0.5
  np.testing.assert_array_equal(environment.step(1).observation, [2, 2])
  assert environment.step(1).last()


@pytest.mark.parametrize("make", [Line, Saving])
def test_leaves_are_what_the_environment_gives(make):
  environment = make()
  observation = environment.reset().observation
  model, rng = make_model(environment, rollout_steps=0), np.random.default_rng(0)
  root = model.root(observation, rng)
  leaves = model.expand([root.states[0]] * 2, np.array([0, 1]), rng)
  np.testing.assert_allclose(leaves.values, [-0.01, 0.01])
  assert leaves.logits.shape == (2, 2)
  two = model.expand([leaves.states[1]], np.array([1]), rng)
  three = model.expand([two.states[0], leaves.states[0]], np.array([1, 0]), rng)
  np.testing.assert_array_equal(three.rewards, [1, 0])
  np.testing.assert_array_equal(three.discounts, [0, 1])
  np.testing.assert_array_equal(three.terminals, [True, False])
  state = leaves.states[0]
  for _ in range(5):
    leaves = model.expand([state], np.array([0]), rng)
    state = leaves.states[0]
  assert (leaves.terminals[0], leaves.discounts[0]) == (True, 1)  # Truncated: the value counts.


def test_rollouts_see_beyond_the_leaf():
  environment = Line(start=1)
  environment.reset()
  values = {}
  for weight in (0.0, 0.5, 1.0):
    options = {"rollout_steps": 1, "rollout_weight": weight}
    model, rng = make_model(environment, discount=0.5, batch_size=400, **options), np.random.default_rng(0)
    states = model.root(np.ones(2, np.float32), rng).states * 400
    values[weight] = model.expand(states, np.ones(400, int), rng).values
  np.testing.assert_allclose(values[0.0], 0.02)
  # From 2 a random step gives 1 and ends (discount 0), or leads to 1, whose value counts γ: 1 or .5 · .01.
  np.testing.assert_allclose(np.unique(values[1.0]), [0.005, 1.0])
  assert abs(values[1.0].mean() - 0.5) < 0.1
  np.testing.assert_allclose(np.unique(values[0.5]), [0.0125, 0.51])


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (Uncopyable, "Uncopyable cannot be copied: RuntimeError.*holds a socket.*save_state"),
    (Selfish, "Selfish gives itself as its copy"),
    (SharedChance, "share random numbers"),
    (BeginsAnew, "BeginsAnew made within an episode.* begin anew"),
    (ChanceFromOutside, "ChanceFromOutside made within an episode.*random numbers from outside"),
    (lambda: acme.wrappers.StepLimit(Saving(), 5), "StepLimit cannot be copied"),
    (SavesLess, "SavesLess goes on in different ways from one saved state"),
    (SavesItself, "SavesItself goes on in different ways.*later steps change"),
    (CannotLoad, "CannotLoad cannot be saved and loaded: RuntimeError.*no such state"),
    (lambda: 3, "expected a dm_env environment, got int"),
  ],
)
def test_what_cannot_be_copied_is_an_error_at_once(make, message):
  with pytest.raises(TypeError, match=message):
    models.Simulator(make())


def test_an_environment_without_episode_is_an_error():
  environment = Line()
  model = make_model(environment)
  root = model.root(np.zeros(2, np.float32), np.random.default_rng(0))
  with pytest.raises(RuntimeError, match="the environment that the actor acts in"):
    model.expand(root.states, np.array([1]), np.random.default_rng(0))


@pytest.mark.parametrize("rollout_steps", [-1, 2.5, True])
def test_bad_rollouts_are_errors(rollout_steps):
  with pytest.raises(ValueError, match="rollout_steps: expected an integer"):
    models.Simulator(Line(), rollout_steps=rollout_steps)
  with pytest.raises(ValueError, match="rollout_weight"):
    models.Simulator(Line(), rollout_weight=1.5)


def test_saving_environments_are_put_back_after_an_error():
  class Failing(Saving):
    broken = False

    def step(self, action):
      if action == 0 and self.broken:
        raise RuntimeError("broken")
      return super().step(action)

  environment = Failing()
  environment.reset()
  simulator = models.Simulator(environment)
  environment.broken = True
  start = copy.copy(simulator.now())
  with pytest.raises(RuntimeError, match="broken"):
    simulator.play(start, [np.int32(1), np.int32(0)])
  assert simulator.now() == start
