"""The agent in JAX: its calls of the network, learning, saving, the two kinds of model, errors."""

import dm_env
import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs JAX and Haiku")

import jax

import acme
import acme_mcts
import acme_replay
from acme import builders, loggers, specs
from acme_mcts.jax import networks
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


def make(simulator=False, seed=0, observers=(), environment=None, **changes):
  environment = environment or Corridor()
  agent = acme_mcts.MCTS(
    acme.make_environment_spec(environment), config=acme_mcts.MCTSConfig(**{**SMALL, **changes}),
    simulator=environment if simulator else None, seed=seed)  # fmt: skip
  made = [observer(agent) for observer in observers]
  return agent, acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0, observers=made)


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


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


def test_simulator_solves_the_corridor_untrained():
  agent, _ = make(True, num_simulations=80)
  environment = Corridor()
  results = acme.evaluate(environment, agent.make_evaluator(simulator=environment), 3)
  assert [result["episode_return"] for result in results] == [1, 1, 1]


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


def test_several_environments_search_one_after_the_other():
  spec = fakes.make_spec("vector", "discrete")
  agent = acme_mcts.MCTS(spec, config=acme_mcts.MCTSConfig(**SMALL), num_envs=3)
  rng = np.random.default_rng(0)
  observation = lambda: np.stack([fakes.random_value(spec.observations, rng) for _ in range(3)])  # noqa: E731
  kinds = np.array([dm_env.StepType.FIRST] * 3)
  agent.observe_first(dm_env.TimeStep(kinds, np.zeros(3, np.float32), np.ones(3, np.float32), observation()))
  for _ in range(8):
    actions = agent.select_action(observation())
    assert actions.shape == (3,) and actions.dtype == np.int32
    mid = np.array([dm_env.StepType.MID] * 3)
    agent.observe(actions, dm_env.TimeStep(mid, np.ones(3, np.float32), np.ones(3, np.float32), observation()))
    agent.update()
  assert agent.replay.info()["replay"].inserts == 24


def test_image_observations_go_through_convolutions_beside_a_simulator():
  spec = fakes.make_spec()._replace(observations=specs.BoundedArray((40, 40, 1), np.uint8, 0, 255))
  nets = networks.make_networks(spec, acme_mcts.MCTSConfig(**SMALL), learned_model=False)
  params = nets.init(jax.random.PRNGKey(0))
  assert any("conv" in module for module in params.prediction)
  assert params.transition is None


@pytest.mark.parametrize("rollout_weight", [None, 0.0, 0.5])
def test_a_batch_of_leaves_is_one_call_compiled_once(rollout_weight, monkeypatch):
  traced, make_networks = [], networks.make_networks

  def make_traced(*args):
    nets = make_networks(*args)
    return nets._replace(predict=lambda params, x: traced.append(x.shape) or nets.predict(params, x))

  monkeypatch.setattr(networks, "make_networks", make_traced)
  environment, simulator = Corridor(), None
  if rollout_weight is not None:
    simulator = acme_mcts.Simulator(environment, rollout_weight=rollout_weight)
  config = acme_mcts.MCTSConfig(**SMALL)
  agent = acme_mcts.MCTS(acme.make_environment_spec(environment), config=config, simulator=simulator)
  model, sizes, calls = agent.actor._model, [], []

  def count(name, numbers, number):
    function = getattr(model, name)
    monkeypatch.setattr(model, name, lambda *args: numbers.append(number(*args)) or function(*args))

  count("expand", sizes, lambda states, *args: len(states))
  count("_expand" if simulator is None else "_evaluate_batch", calls, lambda *args: 1)
  loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), should_update=False)
  loop.run(num_steps=12)
  assert min(sizes) < config.evaluation_batch  # They are filled up to it.
  if simulator is None:
    assert len(calls) == len(sizes)
    assert traced == [(1, 4), (3, 4)]  # Of the root and of leaves.
  else:
    assert len(calls) == len(sizes) + 12  # Roots are asked about by the same function.
    assert traced == [(3 if rollout_weight == 0 else 6, 4)]


def test_observer_gives_statistics_of_searches():
  _, loop = make(True, observers=[acme_mcts.SearchObserver], num_simulations=12)
  result = loop.run_episode()
  assert {
    f"search_{name}" for name in ("value", "depth", "max_depth", "entropy", "visits_0", "visits_1")
  } <= result.keys()
  assert 1 <= result["search_depth"] <= result["search_max_depth"] <= 12
  np.testing.assert_allclose(result["search_visits_0"] + result["search_visits_1"], 1)
  assert 0 <= result["search_entropy"] <= np.log(2)


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
  assert agent.get_variables(["prediction"])[0]["value"]["w"].dtype == np.float32


def test_an_actor_made_anew_searches_otherwise():
  agent, _ = make()
  spec, shares = acme.make_environment_spec(Corridor()), []
  for incarnation in (0, 0, 1):
    inputs = builders.ActorInputs(variables=agent.learner, seed=1, incarnation=incarnation)
    actor = agent._builder.make_actor(spec, agent._program, inputs)
    actor.select_action(np.eye(4, dtype=np.float32)[0])
    shares.append(actor.last_search.priors.tolist())
  assert shares[0] == shares[1] != shares[2]


def test_wrong_uses_are_clear_errors():
  environment = Corridor()
  spec = acme.make_environment_spec(environment)
  with pytest.raises(ValueError, match="MCTS needs discrete actions"):
    acme_mcts.MCTS(fakes.make_spec("vector", "continuous"))
  with pytest.raises(ValueError, match="one environment, got num_envs=2"):
    acme_mcts.MCTS(spec, simulator=environment, num_envs=2)
  other = fakes.FakeEnvironment(fakes.make_spec("image", "discrete"))
  with pytest.raises(ValueError, match=r"MCTS simulator: expected observations Array\(shape=\(4,\)"):
    acme_mcts.MCTS(spec, simulator=other)
  with pytest.raises(TypeError, match="expected a dm_env environment, got int"):
    acme_mcts.MCTS(spec, simulator=3)
  agent, _ = make(True)
  with pytest.raises(ValueError, match="the environment that the evaluator will act in"):
    agent.make_evaluator()
  with pytest.raises(ValueError, match="expected observations"):
    agent.make_evaluator(simulator=other)
  learned, _ = make()
  with pytest.raises(ValueError, match="the agent learns a model"):
    learned.make_evaluator(simulator=environment)
  with pytest.raises(ValueError, match="min_return below max_return"):
    acme_mcts.MCTSConfig(min_return=1.0, max_return=1.0)
  with pytest.raises(ValueError, match="min_replay_size"):
    acme_mcts.MCTSConfig(min_replay_size=10, max_replay_size=5)


def test_agent_takes_another_store():
  made = []

  def make_replay(*args):
    made.append(acme_replay.EmbeddedReplay(*args))
    return made[-1]

  agent = acme_mcts.MCTS(
    acme.make_environment_spec(Corridor()), config=acme_mcts.MCTSConfig(**SMALL), replay=make_replay
  )
  assert agent.replay is made[0]
