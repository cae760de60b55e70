"""The whole agent: runs, resumes and repeats itself bit for bit, on one environment and on many."""

import dataclasses
import json

import dm_env
import haiku as hk
import jax
import numpy as np
import pytest

import acme
import acme_replay
from acme import loggers, plugins, specs
from acme_dqn import AGENT, DQN, DQNConfig
from acme_dqn.config import make_experience

SCALAR = specs.Array((), np.float32)
SPEC = specs.EnvironmentSpec(specs.Array((3,), np.float32), specs.DiscreteArray(2, np.int32), SCALAR, SCALAR)
SMALL = {
  "hidden_sizes": (8,),
  "batch_size": 8,
  "samples_per_insert": 4.0,
  "min_replay_size": 10,
  "max_replay_size": 60,
  "epsilon": 0.3,
  "epsilon_decay_steps": 20,
  "target_update_period": 5,
}
CONFIGS = {
  "default": DQNConfig(**SMALL),
  "noisy": DQNConfig(**SMALL, noisy=True, categorical=True, num_atoms=5),
  "scan": DQNConfig(**SMALL, num_sgd_steps_per_step=3),
  "uniform": DQNConfig(**SMALL, prioritized=False, max_abs_reward=0.5),
}


class Episodes(dm_env.Environment):
  """Episodes of 7 steps: random observations, the reward is 1 where the action is the sign of the first number."""

  def __init__(self):
    self._rng = np.random.default_rng(0)

  def seed(self, seed):
    self._rng = np.random.default_rng(seed)

  def reset(self):
    self._left = 7
    return dm_env.restart(self._observe())

  def step(self, action):
    SPEC.actions.validate(action)
    reward = np.float32(action == (self._observation[0] > 0))
    self._left -= 1
    observation = self._observe()
    if self._left:
      return dm_env.TimeStep(dm_env.StepType.MID, reward, np.float32(1), observation)
    return dm_env.TimeStep(dm_env.StepType.LAST, reward, np.float32(0), observation)

  def _observe(self):
    self._observation = self._rng.normal(size=3).astype(np.float32)
    return self._observation

  def observation_spec(self):
    return SPEC.observations

  def action_spec(self):
    return SPEC.actions

  def reward_spec(self):
    return SCALAR

  def discount_spec(self):
    return SCALAR


def make(config, seed=0):
  agent = DQN(SPEC, config=config, seed=seed)
  return agent, acme.EnvironmentLoop(Episodes(), agent, logger=loggers.NullLogger(), seed=seed)


def parameters(agent):
  return jax.tree.leaves(agent.get_variables(["policy", "target_policy"]))


def same(a, b):
  return all(map(np.array_equal, parameters(a), parameters(b)))


@pytest.mark.parametrize("name", CONFIGS)
def test_resume_goes_on_bit_for_bit(name, tmp_path):
  agent, loop = make(CONFIGS[name])
  loop.run(num_steps=45)  # in the middle of an episode, with priorities still to be handed back
  acme.checkpointing.Checkpointer(tmp_path).save(45, {"agent": agent.save(), "loop": loop.save()})
  loop.run(num_steps=40)

  other, other_loop = make(CONFIGS[name], seed=0)
  state = acme.checkpointing.Checkpointer(tmp_path).load().state
  other.restore(state["agent"])
  other_loop.restore(state["loop"])
  other_loop.run(num_steps=40)
  assert same(agent, other)
  left, right = agent.replay.save(), other.replay.save()
  assert str(left) == str(right)


def test_same_seed_same_parameters():
  runs = [make(CONFIGS["default"], seed) for seed in (1, 1, 2)]
  for _, loop in runs:
    loop.run(num_steps=40)
  (a, _), (b, _), (c, _) = runs
  assert same(a, b)
  assert not same(a, c)


def test_restoring_another_agents_state_is_an_error():
  agent, loop = make(CONFIGS["default"])
  loop.run(num_steps=20)
  other, _ = make(DQNConfig(**{**SMALL, "hidden_sizes": (9,)}))
  with pytest.raises(ValueError, match=r"at .*linear.*expected float32"):
    other.learner.restore(agent.learner.save())


def test_many_environments():
  n, config = 4, CONFIGS["default"]
  agent = DQN(SPEC, config=config, num_envs=n, seed=0)
  rng = np.random.default_rng(0)

  def timestep(kind):
    return dm_env.TimeStep(
      np.full(n, kind, np.int64),
      np.ones(n, np.float32),
      np.ones(n, np.float32),
      rng.normal(size=(n, 3)).astype(np.float32),
    )

  step = timestep(0)
  agent.observe_first(step)
  first = parameters(agent)
  for i in range(30):
    action = agent.select_action(step.observation)
    assert action.shape == (n,) and action.dtype == np.int32
    step = timestep(2 if i % 10 == 8 else 0 if i % 10 == 9 else 1)
    agent.observe(action, step)
    agent.update()
  assert not all(map(np.array_equal, first, parameters(agent)))


@pytest.mark.parametrize(("eval_epsilon", "random"), [(0.0, False), (1.0, True)])
def test_evaluation_uses_eval_epsilon(eval_epsilon, random):
  agent = DQN(SPEC, config=DQNConfig(**SMALL, noisy=True, eval_epsilon=eval_epsilon), seed=0)
  actor = agent.make_evaluator()
  observation = np.ones(3, np.float32)
  assert (len({int(actor.select_action(observation)) for _ in range(60)}) == 2) == random


def test_rewards_are_clipped_step_by_step():
  store_rewards = []
  items = make_experience(DQNConfig(max_abs_reward=1.0, n_step=2, discount=1.0))

  class Writer(acme.replay.Writer):
    def append(self, step):
      pass

    def create_item(self, table, trajectory, priority=None, streams=None):
      store_rewards.append(float(trajectory.reward))

    def save(self):
      return {}

    def restore(self, state):
      pass

  adder = acme_replay.make_adder(items, Writer(), "replay")
  observation = np.zeros(3, np.float32)
  adder.add_first(dm_env.restart(observation))
  for reward in (5.0, -7.0, 0.5):
    adder.add(np.int32(0), dm_env.transition(np.float32(reward), observation, np.float32(1)))
  assert store_rewards == [1.0, 0.0, -0.5]  # 1; 1 − 1; −1 + .5


def test_wrong_action_spec_names_other_agents():
  continuous = SPEC._replace(actions=specs.BoundedArray((2,), np.float32, -1, 1))
  with pytest.raises(ValueError, match=r"discrete action spec.*acme-d4pg"):
    DQN(continuous)


def test_own_network_and_store():
  seen = []

  def make_replay(items, spec, seed):
    seen.append(items.n_step)
    return acme_replay.EmbeddedReplay(items, spec, seed)

  network = hk.transform(lambda o: hk.Linear(2)(o))
  agent = DQN(SPEC, config=CONFIGS["default"], network=network, replay=make_replay, seed=0)
  assert seen == [5]
  (policy,) = agent.get_variables(["policy"])
  assert list(policy) == ["linear"]


def test_plugin_is_found():
  assert plugins.load_agent("dqn") is AGENT


def test_a_saved_config_reads_back():
  saved = json.loads(json.dumps(dataclasses.asdict(DQNConfig.rainbow())))
  assert DQNConfig(**saved) == DQNConfig.rainbow()
