"""IMPALA's parts together: actions within their bounds, the queue, truncation, resuming, configs, networks."""

import dataclasses

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
from acme_impala import AGENT, IMPALA, IMPALAConfig
from acme_impala.jax import learning, networks
from acme_jax import distributions
from acme_replay import EmbeddedReplay
from acme_testing import fakes, runs

SMALL = IMPALAConfig(hidden_sizes=(8,), head_hidden_sizes=(8,), core_size=4, sequence_length=4, batch_size=4)
ACTIONS = {
  "scalar": BoundedArray((), np.float32, -2.0, 2.0),
  "nested": {"arm": BoundedArray((2,), np.float32, -1, 1), "hand": (BoundedArray((1,), np.float64, 0, 5),)},
  "discrete": DiscreteArray(3, np.int64),
}
CORES = pytest.mark.parametrize("core", [None, "lstm", "gru"])


def _spec(actions):
  return specs.EnvironmentSpec(
    Array((4,), np.float32), actions, Array((), np.float32), BoundedArray((), np.float32, 0, 1)
  )


def make(config, num_envs=None, actions="discrete", seed=0, **options):
  """An agent and its loop; episodes of different lengths, none a divisor of a sequence's."""
  spec = _spec(ACTIONS[actions])
  environments = [fakes.FakeEnvironment(spec, episode_length=5 + i) for i in range(num_envs or 1)]
  agent = IMPALA(acme.make_environment_spec(environments[0]), config=config, num_envs=num_envs, seed=seed, **options)
  loop = acme.EnvironmentLoop if num_envs is None else acme.VectorEnvironmentLoop
  chosen = environments[0] if num_envs is None else environments
  return agent, loop(chosen, agent, logger=loggers.NullLogger(), seed=0)


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize("actions", ACTIONS)
def test_actions_keep_their_spec_and_vary(actions, num_envs):
  agent = IMPALA(_spec(ACTIONS[actions]), config=dataclasses.replace(SMALL, initial_stddev=2.0), num_envs=num_envs)
  observation = np.ones((4,) if num_envs is None else (num_envs, 4), np.float32)
  seen = set()
  for _ in range(20):
    chosen = agent.select_action(observation)
    for i in range(num_envs or 1):
      action = chosen if num_envs is None else tree.map_structure(lambda leaf, i=i: leaf[i], chosen)
      tree.map_structure(lambda spec, leaf: spec.validate(np.asarray(leaf)), ACTIONS[actions], action)
      seen.add(str(action))
  assert len(seen) > 1


@CORES
@pytest.mark.parametrize("actions", ["nested", "discrete"])
def test_every_parameter_learns(core, actions):
  agent, loop = make(dataclasses.replace(SMALL, core=core), num_envs=3, actions=actions)
  (before,) = agent.get_variables(["policy"])
  loop.run(num_steps=150)
  (after,) = agent.get_variables(["policy"])
  assert all(tree.flatten(tree.map_structure(lambda a, b: not np.array_equal(a, b), before, after)))


@CORES
@pytest.mark.parametrize("num_envs", [None, 3])
def test_every_sequence_is_learned_from_once_and_in_order_by_what_acted(core, num_envs):
  """With what is in a sample the policy that acted comes out again, whether it is recurrent or not."""
  seen = []

  class Seen(EmbeddedReplay):
    def dataset(self):
      for sample in super().dataset():
        seen.append(sample)
        yield sample

  config = dataclasses.replace(SMALL, core=core, batch_size=3, learning_rate=1e-12)  # It acts as it began.
  agent, loop = make(config, num_envs, replay=Seen)
  loop.run(num_steps=200)
  keys = np.concatenate([sample.keys for sample in seen])
  np.testing.assert_array_equal(keys, keys[0] + np.arange(len(keys)))
  assert agent.replay.info()["replay"].inserts - len(keys) < 3  # All but what makes no batch yet.
  data = jax.tree.map(lambda *x: np.concatenate(x), *[sample.data for sample in seen])
  nets = networks.make_networks(_spec(ACTIONS["discrete"]), config)
  policy, _, _ = nets.unroll.apply(*agent.get_variables(["policy"]), data.observation, data.start_of_episode, data.core)
  assert 0 < np.mean(data.acted) < 1
  logits = data.acted[..., None] * policy.logits
  np.testing.assert_allclose(data.extras["logits"], logits, rtol=1e-4, atol=1e-6)


class CutShort(dm_env.Environment):
  """Episodes of 3 steps without a reward, which a limit ends, or the environment; o_t is the number of the step."""

  def __init__(self, discount):
    self._discount = np.float32(discount)

  def reset(self):
    self._t = 0
    return dm_env.restart(np.zeros(1, np.float32))

  def step(self, action):
    self._t += 1
    last = self._t == 3
    kind = dm_env.StepType.LAST if last else dm_env.StepType.MID
    return dm_env.TimeStep(kind, np.float32(0), self._discount if last else np.float32(1), np.float32([self._t]))

  def observation_spec(self):
    return Array((1,), np.float32)

  def action_spec(self):
    return DiscreteArray(2)

  def reward_spec(self):
    return Array((), np.float32)

  def discount_spec(self):
    return BoundedArray((), np.float32, 0, 1)


@pytest.mark.parametrize("length", [4, 3])
@pytest.mark.parametrize("discount", [1, 0])
def test_truncation_bootstraps_from_the_last_observation(length, discount):
  """With V(o) = o the errors are 1 but where an episode ends: there 3 − 2, or 0 − 2 where nothing follows.

  Of 4 steps a sequence ends with an episode, of 3 it may end in one.
  """
  value = hk.transform(lambda o, start, core: (
    distributions.Categorical(jnp.zeros((*o.shape[:2], 2)) * hk.get_parameter("w", (), init=jnp.ones)), o[..., 0], core
  ))  # fmt: skip
  config = dataclasses.replace(SMALL, sequence_length=length, batch_size=4, discount=1.0)
  environment = CutShort(discount)
  network = (value, lambda batch: ())
  agent = IMPALA(acme.make_environment_spec(environment), config=config, network=network)
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), should_update=False).run(num_steps=60)
  data = next(agent.replay.dataset()).data
  nets = networks.make_networks(acme.make_environment_spec(environment), config, network)
  update, state = learning.make_update(nets, config), learning.make_state(nets, config, jax.random.PRNGKey(0))
  errors = []
  for b in range(4):
    target = data.observation[b, -1, 0]
    for t in reversed(range(length - 1)):
      here = data.observation[b, t, 0]
      if data.acted[b, t]:
        target = discount * 3 if here == 2 else target
        errors.append(target - here)
      else:
        target = here
  sample = acme.replay.Sample(data, (), np.ones(4), ())
  np.testing.assert_allclose(update(state, sample)[2]["baseline_loss"], np.mean(np.square(errors)), rtol=1e-6)
  assert (discount == 1) == (min(errors) > 0)


@CORES
@pytest.mark.parametrize("num_envs", [None, 3])
def test_resumes_exactly_within_an_episode(core, num_envs):
  config = dataclasses.replace(SMALL, core=core)
  (agent, loop), (again, other) = make(config, num_envs), make(config, num_envs, seed=1)
  loop.run(num_steps=82 + (num_envs or 1))
  again.restore(agent.save())
  other.restore(loop.save())
  for each in (loop, other):
    each.run(num_steps=60)
  assert not runs.difference(agent.save(), again.save())


def test_evaluation_takes_the_mode():
  agent = IMPALA(_spec(ACTIONS["scalar"]), config=SMALL)
  evaluator, observation = agent.make_evaluator(), np.ones(4, np.float32)
  one, other = (evaluator.select_action(observation) for _ in range(2))
  assert one == other != agent.select_action(observation)


def test_draws_outside_the_bounds_are_clipped_and_kept():
  config = dataclasses.replace(SMALL, initial_stddev=3.0)
  agent, loop = make(config, actions="scalar")
  loop._should_update = False
  loop.run(num_steps=40)
  data = next(agent.replay.dataset()).data
  draw = data.extras["draw"][..., 0]
  np.testing.assert_allclose(data.action, 2 * np.clip(draw, -1, 1), atol=1e-6)
  assert np.abs(draw).max() > 1
  policy, _, _ = networks.make_networks(_spec(ACTIONS["scalar"]), config).unroll.apply(
    *agent.get_variables(["policy"]), data.observation, data.start_of_episode, ()
  )
  log_prob = data.acted * policy.log_prob(data.extras["draw"])
  np.testing.assert_allclose(data.extras["log_prob"], log_prob, rtol=1e-4, atol=1e-4)


def test_experience_and_record():
  for core in (None, "gru"):
    config = IMPALAConfig(core=core, max_queue_size=300)
    spec, builder = _spec(ACTIONS["scalar"]), AGENT.builder(config)
    described = builder.make_experience(spec, builder.make_program(spec))
    assert isinstance(described, experience.Queue) and described.stored_state == (core is not None)
    assert (described.length, described.batch_size, described.max_size) == (6, 16, 300)
  assert AGENT.num_envs == 16


@pytest.mark.parametrize(
  ("actions", "message"),
  [(Array((2,), np.float32), "finite bounds"), ({"a": DiscreteArray(3)}, "IMPALA takes either.")],
)
def test_wrong_actions(actions, message):
  with pytest.raises(ValueError, match=message):
    IMPALA(_spec(actions))


@pytest.mark.parametrize("values", [{"sequence_length": 1}, {"max_queue_size": 15}, {"core": "rnn"}])
def test_wrong_configs(values):
  with pytest.raises(ValueError, match=f"IMPALAConfig.{next(iter(values))}"):
    IMPALAConfig(**values)


def test_own_networks_are_checked():
  def unroll(o, start, core):
    return distributions.Categorical(hk.Linear(2)(o)), hk.Linear(1)(o)[..., 0], core

  with pytest.raises(ValueError, match=r"with arrays \(2, 1, 3\)"):
    IMPALA(_spec(ACTIONS["discrete"]), network=(hk.transform(unroll), lambda batch: ()))
  with pytest.raises(TypeError, match="haiku.Transformed"):
    IMPALA(_spec(ACTIONS["discrete"]), network=hk.transform(unroll))


@pytest.mark.parametrize(("discrete", "least"), [(True, -0.1), (False, -0.2)])
def test_learns(discrete, least):
  """At random the reward is some −0.5, or −0.6."""
  config = IMPALAConfig(head_hidden_sizes=(16,), sequence_length=3, batch_size=16, learning_rate=1e-2)
  environments = [fakes.Reach(discrete) for _ in range(16)]
  agent = IMPALA(acme.make_environment_spec(environments[0]), config=config, num_envs=16, seed=100)
  acme.VectorEnvironmentLoop(environments, agent, logger=loggers.NullLogger(), seed=0).run(num_steps=4_000)
  results = acme.evaluate(fakes.Reach(discrete), agent.make_evaluator(), 50, seed=1)
  assert np.mean([result["episode_return"] for result in results]) >= least
