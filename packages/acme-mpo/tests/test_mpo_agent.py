"""MPO's parts together: actions within their bounds, sequences for Retrace, configs, networks, and that it learns."""

import dataclasses
import functools

import dm_env
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tree
from dm_env.specs import Array, BoundedArray, DiscreteArray

import acme
from acme import experience, loggers, specs
from acme_jax import distributions
from acme_mpo import AGENT, MPO, MPOConfig
from acme_mpo.jax import networks
from acme_testing import fakes, scaling

SMALL = MPOConfig(policy_hidden_sizes=(16,), critic_hidden_sizes=(16,), batch_size=8, min_replay_size=16, num_samples=4,
                  max_replay_size=1000, samples_per_insert=4.0)  # fmt: skip
ACTIONS = {
  "scalar": BoundedArray((), np.float32, -2.0, 2.0),
  "nested": {"arm": BoundedArray((2,), np.float32, -1, 1), "hand": (BoundedArray((1,), np.float64, 0, 5),)},
  "uneven": BoundedArray((1,), np.float32, -3.3, 0.7),
  "discrete": DiscreteArray(3, np.int64),
  "mixed": {"arm": BoundedArray((2,), np.float32, 0, 5), "gears": (DiscreteArray(3, np.int64), DiscreteArray(2))},
}
NAMES = ["policy", "critic", "target_policy", "target_critic", "duals"]


def _spec(actions):
  return specs.EnvironmentSpec(
    Array((4,), np.float32), actions, Array((), np.float32), BoundedArray((), np.float32, 0, 1)
  )


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize("actions", ACTIONS.values(), ids=ACTIONS)
def test_actions_keep_their_spec_and_vary(actions, num_envs):
  agent = MPO(_spec(actions), config=dataclasses.replace(SMALL, initial_stddev=2.0), num_envs=num_envs)
  observation = np.ones((4,) if num_envs is None else (num_envs, 4), np.float32)
  seen = set()
  for _ in range(20):
    chosen = agent.select_action(observation)
    for i in range(num_envs or 1):
      action = chosen if num_envs is None else tree.map_structure(lambda leaf, i=i: leaf[i], chosen)
      tree.map_structure(lambda spec, leaf: spec.validate(np.asarray(leaf)), actions, action)
      seen.add(str(action))
  assert len(seen) > 2 or isinstance(actions, DiscreteArray) and len(seen) > 1


@pytest.mark.parametrize("backend", ["jax", "tf"])
def test_pink_noise_keeps_a_direction_and_its_variance_within_an_episode(backend):
  pytest.importorskip("haiku" if backend == "jax" else "sonnet", reason="this backend is not installed")
  sequence = []
  for noise in ("white", "pink"):
    config = dataclasses.replace(SMALL, noise=noise, pink_window=64, initial_stddev=0.2)
    agent = MPO(_spec(ACTIONS["scalar"]), config=config, backend=backend, num_envs=64, seed=1)
    mode = agent.make_evaluator().select_action(np.ones(4, np.float32))
    observation, actions = np.ones((64, 4), np.float32), []
    agent.observe_first(dm_env.TimeStep(np.zeros(64, int), None, None, observation))
    for _ in range(64):
      actions.append(agent.select_action(observation) - mode)
      zeros = np.zeros(64, np.float32)
      agent.observe(actions[-1], dm_env.TimeStep(np.ones(64, int), zeros, zeros + 1, observation))
    sequence.append(np.stack(actions))  # [T, N]
  white, pink = sequence
  assert np.std(pink) == pytest.approx(np.std(white), rel=0.15)

  def correlation(x):
    return np.mean(x[1:] * x[:-1]) / np.var(x)

  assert abs(correlation(white)) < 0.1 and correlation(pink) > 0.5


@pytest.mark.parametrize("backend", ["jax", "tf"])
def test_pink_noise_is_for_continuous_actions(backend):
  pytest.importorskip("haiku" if backend == "jax" else "sonnet", reason="this backend is not installed")
  with pytest.raises(ValueError, match="MPOConfig.noise: 'pink' is for continuous actions"):
    MPO(_spec(ACTIONS["discrete"]), config=dataclasses.replace(SMALL, noise="pink"), backend=backend)


@pytest.mark.parametrize("retrace", [False, True])
@pytest.mark.parametrize("actions", [ACTIONS["nested"], ACTIONS["discrete"]], ids=["nested", "discrete"])
def test_every_parameter_learns(actions, retrace):
  environment = fakes.FakeEnvironment(_spec(actions), episode_length=5)
  config = dataclasses.replace(SMALL, retrace=retrace, sequence_length=4, sequence_period=2)
  agent = MPO(acme.make_environment_spec(environment), config=config)
  before = agent.get_variables(NAMES)
  for online, target in ((0, 2), (1, 3)):
    tree.map_structure(np.testing.assert_array_equal, before[online], before[target])
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger()).run(num_steps=60)
  for name, old, new in zip(NAMES, before, agent.get_variables(NAMES), strict=True):
    if not name.startswith("target_"):
      assert all(tree.flatten(tree.map_structure(lambda a, b: not np.array_equal(a, b), old, new))), name


def test_retrace_stores_the_density_of_what_was_executed():
  spec = _spec(ACTIONS["uneven"])
  config = dataclasses.replace(
    SMALL, retrace=True, sequence_length=4, sequence_period=1, initial_stddev=2.0, batch_size=64
  )
  agent = MPO(spec, config=config)
  environment = fakes.FakeEnvironment(spec, episode_length=6)
  loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), should_update=False)
  loop.run(num_steps=60)
  data = next(agent.replay.dataset()).data
  (params,) = agent.get_variables(["policy"])
  nets = networks.make_networks(spec, config)
  given = nets.policy.apply(params, data.observation.reshape(-1, 4))
  log_prob = given.log_prob(nets.kind.stored(data.action.reshape(-1, 1))).reshape(data.acted.shape)
  np.testing.assert_allclose(data.extras["log_prob"], data.acted * log_prob, rtol=1e-4, atol=1e-4)
  assert np.any(data.acted == 0)
  assert np.isin(data.action[data.acted == 1], np.float32([-3.3, 0.7])).any()  # Some were clipped.


def test_experience():
  assert isinstance(AGENT.builder(MPOConfig()).make_experience(*_made(MPOConfig())), experience.Transitions)
  config = MPOConfig(retrace=True)
  described = AGENT.builder(config).make_experience(*_made(config))
  assert isinstance(described, experience.Sequences) and (described.length, described.period) == (6, 5)


def _made(config):
  spec = _spec(ACTIONS["scalar"])
  return spec, AGENT.builder(config).make_program(spec)


@pytest.mark.parametrize(
  ("actions", "message"),
  [
    (Array((2,), np.float32), "finite bounds"),
    (BoundedArray((1,), np.int32, 0, 3), "MPO takes either, and both in a nest"),
    ({"a": DiscreteArray(3), "b": BoundedArray((1,), np.int32, 0, 3)}, "MPO takes either, and both in a nest"),
    (BoundedArray((0,), np.float32, 0, 1), r"Expected an action of one number or more, got BoundedArray\(shape=\(0,\)"),
    ({}, "Expected an action of one number or more, got {}"),
    ({"a": DiscreteArray(3), "b": DiscreteArray(2)}, "MPO takes one discrete action, or a nest with continuous ones"),
  ],
)
def test_wrong_actions(actions, message):
  with pytest.raises(ValueError, match=message):
    MPO(_spec(actions))


@pytest.mark.parametrize("values", [{"critic_hidden_sizes": ()}, {"sequence_length": 1}, {"epsilon": 0.0}])
def test_wrong_configs(values):
  with pytest.raises(ValueError, match=f"MPOConfig.{next(iter(values))}"):
    MPOConfig(**values)


def test_own_networks():
  policy = hk.transform(lambda o: distributions.DiagonalGaussian(*jnp.split(jax.nn.softplus(hk.Linear(2)(o)), 2, -1)))
  critic = hk.transform(lambda o, a: hk.Linear(1)(jnp.concatenate([o, a], axis=-1)))
  agent = MPO(_spec(ACTIONS["scalar"]), config=SMALL, network=(policy, critic))
  params = agent.get_variables(["policy", "critic"])
  assert params[0]["linear"]["w"].shape == (4, 2) and params[1]["linear"]["w"].shape == (5, 1)
  with pytest.raises(ValueError, match="acme_jax.distributions.Categorical"):
    MPO(_spec(ACTIONS["discrete"]), config=SMALL, network=(policy, critic))


@pytest.mark.slow
@pytest.mark.parametrize(
  ("discrete", "retrace", "least"),
  [(False, True, -0.2), (True, False, -0.1), pytest.param(False, False, -0.2, marks=pytest.mark.long)],
)
def test_learns(discrete, retrace, least):
  """At random the reward is some −0.6, or −0.5."""
  config = MPOConfig(
    policy_hidden_sizes=(32,), critic_hidden_sizes=(32,), batch_size=32, min_replay_size=200, samples_per_insert=32.0,
    policy_learning_rate=3e-3, critic_learning_rate=3e-3, retrace=retrace, sequence_length=2, sequence_period=1,
    initial_log_temperature=1.0, initial_log_alpha_mean=1.0, max_replay_size=10_000,
  )  # fmt: skip
  environment = fakes.Reach(discrete)
  agent = MPO(acme.make_environment_spec(environment), config=config, seed=100)
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0).run(num_steps=2_500)
  results = acme.evaluate(fakes.Reach(discrete), agent.make_evaluator(), 50, seed=1)
  assert np.mean([result["episode_return"] for result in results]) >= least


@pytest.mark.slow
def test_learns_with_actions_of_both_kinds():
  """With either part at random, the reward is some −0.4 or less."""
  config = MPOConfig(
    policy_hidden_sizes=(32,), critic_hidden_sizes=(32,), batch_size=32, min_replay_size=200, samples_per_insert=32.0,
    policy_learning_rate=3e-3, critic_learning_rate=3e-3, initial_log_temperature=1.0, initial_log_alpha_mean=1.0,
    max_replay_size=10_000,
  )  # fmt: skip
  agent = MPO(acme.make_environment_spec(fakes.Steer()), config=config, seed=100)
  acme.EnvironmentLoop(fakes.Steer(), agent, logger=loggers.NullLogger(), seed=0).run(num_steps=3_000)
  results = acme.evaluate(fakes.Steer(), agent.make_evaluator(), 50, seed=1)
  assert np.mean([result["episode_return"] for result in results]) >= -0.2


def test_a_run_on_scaled_observations_goes_on_exactly():
  scaling.check_resume(AGENT)


@pytest.mark.long  # As DDPG does.
def test_learns_from_observations_far_from_zero():
  config = MPOConfig(
    normalize_observations=True, policy_hidden_sizes=(32,), critic_hidden_sizes=(32,), batch_size=32,
    min_replay_size=200, samples_per_insert=32.0, policy_learning_rate=3e-3, critic_learning_rate=3e-3,
    initial_log_temperature=1.0, initial_log_alpha_mean=1.0, max_replay_size=10_000,
  )  # fmt: skip
  scaling.check_learning(functools.partial(MPO, config=config, seed=100))
