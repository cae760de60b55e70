"""The agent in TensorFlow: losses by hand, learning's pieces, saving, the two kinds of model."""

import dm_env
import numpy as np
import pytest

pytest.importorskip("sonnet", reason='needs TensorFlow: pip install "acme-mcts[tf]"')

import tensorflow as tf

import acme
import acme_mcts
from acme import loggers, specs
from acme_mcts.tf import losses, networks
from acme_testing import fakes

SMALL = {
  "num_simulations": 6, "evaluation_batch": 3, "hidden_sizes": (16,), "batch_size": 8, "min_replay_size": 16,
  "max_replay_size": 1000, "samples_per_insert": 8.0,
}  # fmt: skip


class Corridor(dm_env.Environment):
  """Right, right, right gives 1; any left ends with 0. The observation is the position, one-hot."""

  def __init__(self):
    self._position = 0
    self._over = True

  def reset(self):
    self._position, self._over = 0, False
    return dm_env.restart(self._observation())

  def step(self, action):
    if self._over:
      return self.reset()
    self._position += 1
    self._over = action == 0 or self._position == 3
    if self._over:
      return dm_env.termination(np.float32(action == 1), self._observation())
    return dm_env.transition(np.float32(0), self._observation())

  def _observation(self):
    return np.eye(4, dtype=np.float32)[self._position]

  def observation_spec(self):
    return specs.Array((4,), np.float32, name="observation")

  def action_spec(self):
    return specs.DiscreteArray(2, np.int32, name="action")

  def reward_spec(self):
    return specs.Array((), np.float32, name="reward")

  def discount_spec(self):
    return specs.BoundedArray((), np.float32, 0, 1, name="discount")


def make(simulator=False, seed=0, environment=None, **changes):
  environment = environment or Corridor()
  agent = acme_mcts.MCTS(
    acme.make_environment_spec(environment), config=acme_mcts.MCTSConfig(**{**SMALL, **changes}),
    backend="tf", simulator=environment if simulator else None, seed=seed)  # fmt: skip
  return agent, acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0)


def assert_same(a, b):
  tf.nest.map_structure(np.testing.assert_array_equal, a, b)


def test_value_loss_by_hand():
  v_tm1, v_t = tf.Variable([1.0, 2.0]), tf.Variable([10.0, 10.0])
  with tf.GradientTape() as tape:
    loss = losses.value_loss(v_tm1, tf.constant([1.0, 1.0]), tf.constant([0.5, 0.0]), v_t)
  np.testing.assert_allclose(loss, 0.5 * (25 + 1) / 2)
  gradient, through_target = tape.gradient(loss, [v_tm1, v_t])
  np.testing.assert_allclose(gradient, [-2.5, 0.5])
  assert through_target is None


def test_policy_loss_is_the_cross_entropy_to_the_visits():
  logits = tf.math.log([[0.25, 0.75]])
  np.testing.assert_allclose(
    losses.policy_loss(logits, tf.constant([[0.5, 0.5]])), -0.5 * (np.log(0.25) + np.log(0.75)), rtol=1e-6
  )


def test_transition_loss_uses_the_sigmoid_of_the_discount():
  step = networks.Step(tf.constant([[1.0, 2.0]]), tf.constant([3.0]), tf.constant([0.0]))
  loss = losses.transition_loss(step, tf.constant([[0.0, 0.0]]), tf.constant([1.0]), tf.constant([0.9]))
  np.testing.assert_allclose(loss, 0.5 * 5 + 0.5 * 4 + np.log(2), rtol=1e-6)


def test_discount_is_learned_as_a_number_between_0_and_1():
  logit = tf.Variable([0.0])
  for _ in range(300):
    with tf.GradientTape() as tape:
      step = networks.Step(tf.zeros((1, 1)), tf.zeros(1), logit)
      loss = losses.transition_loss(step, tf.zeros((1, 1)), tf.zeros(1), tf.constant([0.9]))
    logit.assign_sub(tape.gradient(loss, logit))
  np.testing.assert_allclose(tf.sigmoid(logit), [0.9], atol=0.01)


@pytest.mark.parametrize("simulator", [False, True])
def test_extras_are_the_shares_of_the_visits(simulator):
  agent, loop = make(simulator, num_simulations=10)
  loop.run(num_steps=15)
  loop._should_update = False  # One more step, and no learner to take what it brings.
  loop.run(num_steps=7)
  policy = next(agent.replay.dataset()).data.extras["policy"]
  assert policy.shape == (8, 2) and policy.dtype == np.float32
  np.testing.assert_allclose(policy.sum(-1), 1, rtol=1e-6)
  np.testing.assert_allclose(policy * 10, np.round(policy * 10), atol=1e-5)


def test_learned_model_learns_the_corridor():
  agent, loop = make(num_simulations=16, learning_rate=3e-3, hidden_sizes=(32,), batch_size=32, samples_per_insert=32.0)
  loop.run(num_steps=600)
  results = acme.evaluate(Corridor(), agent.make_evaluator(), 2)
  assert [result["episode_return"] for result in results] == [1, 1]


@pytest.mark.parametrize("simulator", [False, True])
def test_resuming_is_exact(simulator):
  changes = {"num_sgd_steps_per_step": 1 + simulator}
  whole, whole_loop = make(simulator, **changes)
  whole_loop.run(num_steps=50)
  part, part_loop = make(simulator, **changes)
  part_loop.run(num_steps=31)
  # The corridor has no seed(), so the loop can be saved between episodes only.
  while part_loop._timestep is not None:
    part_loop.run(num_steps=1)
  state = (part.save(), part_loop.save())
  steps = part_loop.steps
  other, other_loop = make(simulator, seed=7, **changes)
  other.restore(state[0])
  other_loop.restore(state[1])
  other_loop.run(num_steps=50 - steps)
  assert_same(whole.save()["learner"], other.save()["learner"])
  assert_same(whole.save()["actor"]["policy"], other.save()["actor"]["policy"])


def test_image_observations_go_through_convolutions_beside_a_simulator():
  spec = fakes.make_spec()._replace(observations=specs.BoundedArray((40, 40, 1), np.uint8, 0, 255))
  config = acme_mcts.MCTSConfig(**SMALL)
  made = networks.make_networks(spec, config, learned_model=False)
  assert any("conv" in variable.name for variable in made.prediction.variables)
  assert made.transition is None


@pytest.mark.parametrize("simulator", [False, True])
def test_float64_throughout(simulator):
  """As dm_env's default specs of reward and discount are."""

  class Double(Corridor):
    def _observation(self):
      return super()._observation().astype(np.float64)

    def observation_spec(self):
      return specs.Array((4,), np.float64, name="observation")

    reward_spec = dm_env.Environment.reward_spec
    discount_spec = dm_env.Environment.discount_spec

  agent, loop = make(simulator, environment=Double())
  loop.run(num_steps=40)
  assert agent.get_variables(["prediction"])[0]["prediction_network/value/w"].dtype == np.float32
