"""R2D2's parts together: what is stored, how it explores, its own networks, exact resume, and that it remembers."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tree

import acme
from acme import experience, loggers, specs
from acme_jax import exploration
from acme_r2d2 import AGENT, R2D2, R2D2Config
from acme_r2d2.jax import networks
from acme_testing import fakes, runs
from acme_testing.tiny import environments

SMALL = R2D2Config(burn_in_length=2, trace_length=4, sequence_period=2, hidden_sizes=(8,), core_size=4,
                   head_hidden_sizes=(8,), batch_size=4, min_replay_size=10, max_replay_size=1000,
                   samples_per_insert=4.0)  # fmt: skip
SPEC = fakes.make_spec("vector", "discrete")
NAMES = ["policy", "target_policy"]


def make_loop(agent, spec, num_envs=None, **options):
  options = {"logger": loggers.NullLogger(), "seed": 0} | options
  if num_envs is None:
    return acme.EnvironmentLoop(fakes.FakeEnvironment(spec, episode_length=7), agent, **options)
  environments_ = [fakes.FakeEnvironment(spec, episode_length=7 - 2 * i) for i in range(num_envs)]
  return acme.VectorEnvironmentLoop(environments_, agent, **options)


OTHER = {"core": "gru", "dueling": False, "end_of_episode": "zero_pad"}


@pytest.mark.parametrize("changes", [{}, OTHER], ids=["default", "other"])
def test_every_parameter_learns(changes):
  spec = fakes.make_spec("nested", "discrete")
  agent = R2D2(spec, config=dataclasses.replace(SMALL, **changes))
  before, target = agent.get_variables(NAMES)
  tree.map_structure(np.testing.assert_array_equal, before, target)
  make_loop(agent, spec).run(num_steps=60)
  (after,) = agent.get_variables(["policy"])
  assert all(tree.flatten(tree.map_structure(lambda a, b: not np.array_equal(a, b), before, after)))


def test_images_go_through_convolutions():
  spec = SPEC._replace(observations=specs.BoundedArray((42, 42, 1), np.uint8, 0, 255))
  nets = networks.make_networks(spec, SMALL)
  params = jax.eval_shape(nets.init, jax.random.PRNGKey(0))
  assert params["observation_torso/~_features/atari_torso/conv2_d"]["w"].shape == (8, 8, 1, 32)
  inputs = networks.Inputs(np.zeros((2, 3, 42, 42, 1), np.uint8), np.zeros((2, 3), np.int32), np.zeros((2, 3)))
  q, _ = jax.eval_shape(nets.unroll, params, inputs, np.zeros((2, 3), bool), nets.initial_state(params, 2))
  assert q.shape == (2, 3, spec.actions.num_values)


@pytest.mark.parametrize("num_envs", [None, 2])
def test_a_sequence_keeps_the_state_that_acted_and_what_the_network_read(num_envs):
  """Unrolled from what is stored, the network chooses again what was done, greedily and in every episode."""
  config = dataclasses.replace(SMALL, epsilon=0.0, epsilon_initial=0.0, batch_size=64)
  agent = R2D2(SPEC, config=config, num_envs=num_envs)
  make_loop(agent, SPEC, num_envs, should_update=False).run(num_steps=80)
  data = next(agent.replay.dataset()).data
  assert np.any(data.core.hidden) and np.any(data.start_of_episode[:, 1:]) and np.any(data.previous_reward)
  (params,) = agent.get_variables(["policy"])
  nets = networks.make_networks(SPEC, config)
  inputs = networks.Inputs(data.observation, data.previous_action, data.previous_reward)
  q, _ = nets.unroll(params, inputs, data.start_of_episode, data.core)
  acted = data.acted == 1
  np.testing.assert_array_equal(np.argmax(q, axis=-1)[acted], data.action[acted])
  assert len(np.unique(data.action[acted])) > 1


@pytest.mark.parametrize(("num_envs", "end_of_episode"), [(None, "continue"), (2, "zero_pad")])
def test_resumes_exactly_within_an_episode(num_envs, end_of_episode):
  config = dataclasses.replace(SMALL, end_of_episode=end_of_episode)
  agents = [R2D2(SPEC, config=config, seed=seed, num_envs=num_envs) for seed in (0, 1)]
  loop, other = (make_loop(agent, SPEC, num_envs) for agent in agents)
  loop.run(num_steps=66)
  agents[1].restore(agents[0].save())
  other.restore(loop.save())
  for each in (loop, other):
    each.run(num_steps=40)
  assert not runs.difference(agents[0].save(), agents[1].save())


def test_experience():
  config = R2D2Config(burn_in_length=3, trace_length=5, sequence_period=4, core_size=6)
  builder = AGENT.builder(config)
  described = builder.make_experience(SPEC, builder.make_program(SPEC))
  assert isinstance(described, experience.Sequences)
  assert (described.length, described.period, described.stored_state) == (9, 4, True)
  assert [leaf.shape for leaf in tree.flatten(described.core_spec)] == [(6,), (6,)]


@pytest.mark.parametrize(
  ("changes", "streams", "expected"),
  [
    ({"ladder": True}, exploration.Streams(0, 4), [0.4, 0.4 ** (10 / 3), 0.4 ** (17 / 3), 0.4**8]),
    ({"ladder": True}, exploration.Streams(2, 6), [0.4**3.8, 0.4**5.2, 0.4**6.6, 0.4**8]),  # of another actor
    ({"ladder": True}, exploration.Streams(0, 1), [0.4]),
    ({"ladder": True, "ladder_base": 0.5, "ladder_exponent": 1.0}, exploration.Streams(0, 2), [0.5, 0.25]),
    ({}, exploration.Streams(0, 4), 1 - 0.95 / 4),  # after a quarter of the schedule
    ({"epsilon_decay_steps": 0}, exploration.Streams(0, 4), 0.05),
  ],
)
def test_epsilon(changes, streams, expected):
  program = AGENT.builder(R2D2Config(**changes)).make_program(SPEC)
  found = program.behaviour.explore.values(500, streams, np.size(expected))
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert program.evaluation.explore.values(500, streams, 4) == 0


@pytest.mark.parametrize(
  "values", [{"trace_length": 0}, {"core": "rnn"}, {"transform_epsilon": 0.0}, {"max_priority_weight": 1.5}]
)
def test_wrong_configs(values):
  with pytest.raises(ValueError, match=f"R2D2Config.{next(iter(values))}"):
    R2D2Config(**values)


def test_published_numbers():
  config = R2D2Config.published()
  numbers = (config.n_step, config.burn_in_length, config.trace_length, config.sequence_period, config.discount)
  assert numbers == (5, 40, 80, 40, 0.997) and config.ladder and config.target_update_period == 2_500
  assert (config.priority_exponent, config.importance_sampling_exponent) == (0.9, 0.6)
  assert (config.batch_size, config.learning_rate, config.adam_epsilon) == (64, 1e-4, 1e-3)
  assert config.max_replay_size * config.sequence_period == 4_000_000
  assert config.samples_per_insert * config.trace_length / config.sequence_period == pytest.approx(0.8)  # Of a step.


def own_network(num_outputs):
  def make():
    inner = hk.Linear(4, name="mine")
    torso = lambda observation, action, reward: inner(jnp.concatenate([observation, action], axis=-1))  # noqa: E731
    return torso, hk.VanillaRNN(4), hk.Linear(num_outputs)

  return make


def test_own_network():
  agent = R2D2(SPEC, config=SMALL, network=own_network(SPEC.actions.num_values))
  assert agent.get_variables(["policy"])[0]["mine"]["w"].shape == (8, 4)
  make_loop(agent, SPEC).run(num_steps=40)
  with pytest.raises(ValueError, match=r"Q-values \[A\], shape \(1, 3\)"):
    R2D2(SPEC, config=SMALL, network=own_network(7))
  with pytest.raises(TypeError, match="a function that makes torso, core and head"):
    R2D2(SPEC, config=SMALL, network="lstm")


def test_wrong_actions():
  with pytest.raises(ValueError, match="R2D2"):
    R2D2(fakes.make_spec("vector", "continuous"))


CASES = {  # A trace shorter than an episode, so that the stored state alone brings the cue to its end; a whole episode.
  "across traces, by the observation": (False, {}),
  "within a trace, by action and reward": (True, {"core": "gru", "end_of_episode": "zero_pad", "trace_length": 4}),
}


@pytest.mark.parametrize(("hidden", "changes"), CASES.values(), ids=CASES)
def test_remembers(hidden, changes):
  config = R2D2Config(burn_in_length=0, trace_length=3, sequence_period=2, n_step=2, hidden_sizes=(16,), core_size=16,
                      head_hidden_sizes=(16,), learning_rate=3e-3, epsilon_decay_steps=1_000, min_replay_size=50,
                      target_update_period=50, samples_per_insert=32.0, epsilon=0.1)  # fmt: skip
  environment = environments.Cue(hidden=hidden)
  agent = R2D2(acme.make_environment_spec(environment), config=dataclasses.replace(config, **changes), seed=100)
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0).run(num_steps=3_000)
  results = acme.evaluate(environments.Cue(hidden=hidden), agent.make_evaluator(), 30, seed=1)
  assert np.mean([result["episode_return"] for result in results]) >= 0.9
