"""Tiny agents, each of which learns what it could not if its kind of experience were wrong."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import tree

import acme
from acme import agents, loggers
from acme_replay import EmbeddedReplay
from acme_testing import conformance, programs, runs
from acme_testing.tiny import actor_critic, environments, mixed, offline, recurrent

CUE = environments.Cue
HIDDEN = functools.partial(environments.Cue, hidden=True)
CHAIN = environments.Chain  # A return of 1 at its end, of 0.5 elsewhere.
# Sequences shorter than an episode: only the recurrent state that they keep brings the cue to the last of them.
RECURRENT = {"sequence_length": 3, "sequence_period": 2, "samples_per_insert": 32.0}
WHOLE = {"sequence_length": 5, "sequence_period": 4, "samples_per_insert": 32.0}  # An episode and its end.
VECTOR = pytest.mark.parametrize("num_envs", [None, 4])


def make_loop(module, environment, num_envs=None, *, seed=0, replay=None, **config):
  """An agent and its loop."""
  spec = acme.make_environment_spec(environment())
  builder = module.AGENT.builder(module.Config(**config))
  agent = agents.Agent(builder, spec, seed=seed, num_envs=num_envs, replay=replay)
  options = {"seed": 0, "logger": loggers.NullLogger()}
  if num_envs is None:
    return agent, acme.EnvironmentLoop(environment(), agent, **options)
  return agent, acme.VectorEnvironmentLoop([environment() for _ in range(num_envs)], agent, **options)


def returns(agent, environment, num_episodes=20):
  """Those of the evaluation policy."""
  results = acme.evaluate(environment(), agent.make_evaluator(), num_episodes, seed=1)
  return np.array([result["episode_return"] for result in results])


def learn(agent, num_steps):
  """Learns without acting."""
  loop = acme.LearningLoop(agent.learner, logger=loggers.NullLogger())
  loop.run(num_steps)
  return loop


def record(path, environment, act, num_episodes, seed=0):
  """Writes episodes in which `act(rng, state)` acts, and returns where they are."""
  rng = np.random.default_rng(seed)
  return runs.record(path, environment, lambda o: np.int32(act(rng, int(o.argmax()))), num_episodes)


def demonstrations(path, num_episodes=4):
  """Episodes that reach the end of the chain."""
  chain = CHAIN()
  return record(path, chain, lambda rng, state: chain.right(state), num_episodes)


ACROSS = (CUE, RECURRENT)  # Remembered from one sequence to the next, by the stored state.
WITHIN = (HIDDEN, WHOLE)  # Told by an action and a reward within one sequence.


@VECTOR
@pytest.mark.parametrize("environment, config", [ACROSS, WITHIN], ids=["across", "within"])
def test_recurrent_remembers(environment, config, num_envs):
  agent, loop = make_loop(recurrent, environment, num_envs, **config)
  loop.run(num_steps=4_000)
  assert np.all(returns(agent, environment) > 0), "−0.5 or less where the last action is wrong"


@VECTOR
@pytest.mark.parametrize(
  "field, environment, config", [("core", *ACROSS), ("previous_action", *WITHIN), ("previous_reward", *WITHIN)]
)
def test_recurrent_needs_each_part_of_its_experience(field, environment, config, num_envs):
  class Without(EmbeddedReplay):
    def dataset(self):
      for sample in super().dataset():
        zeros = tree.map_structure(np.zeros_like, getattr(sample.data, field))
        yield sample._replace(data=sample.data._replace(**{field: zeros}))

  agent, loop = make_loop(recurrent, environment, num_envs, replay=Without, **config)
  loop.run(num_steps=2_000)
  assert not np.all(returns(agent, environment) > 0)


@VECTOR
def test_actor_critic_remembers(num_envs):
  agent, loop = make_loop(actor_critic, CUE, num_envs)
  loop.run(num_steps=6_000)
  assert np.all(returns(agent, CUE) == 1)


@VECTOR
def test_every_sequence_of_the_queue_comes_once_and_in_order(num_envs):
  seen = []

  class Seen(EmbeddedReplay):
    def dataset(self):
      for sample in super().dataset():
        seen.append(sample)
        yield sample

  agent, loop = make_loop(actor_critic, CUE, num_envs, replay=Seen, batch_size=4, unroll_length=3)
  loop.run(num_steps=400)
  keys = np.concatenate([sample.keys for sample in seen])
  np.testing.assert_array_equal(keys, keys[0] + np.arange(len(keys)))
  cores = np.concatenate([sample.data.core for sample in seen])  # Of N streams in turn.
  observations = np.concatenate([sample.data.observation for sample in seen])
  n = num_envs or 1
  np.testing.assert_array_equal(observations[:-n, -1], observations[n:, 0], "consecutive ones share a step")
  assert len(np.unique(cores, axis=0)) > 1


@VECTOR
@pytest.mark.parametrize("share", [None, 0.25])
def test_mixed_goes_where_only_demonstrations_lead(num_envs, share, tmp_path):
  agent, loop = make_loop(
    mixed, CHAIN, num_envs, demonstrations=demonstrations(tmp_path), demonstration_share=share, min_replay_size=50
  )
  learn(agent, 200)
  assert agent.replay.info()["online"].inserts == 0 and returns(agent, CHAIN, 1) == 1, "pre-trained"
  loop.run(num_steps=1_500)
  assert agent.replay.info()["online"].samples > 0 and returns(agent, CHAIN, 1) == 1


def test_mixed_goes_nowhere_without_them(tmp_path):
  failures = record(tmp_path, CHAIN(), lambda rng, state: 0, 4)
  agent, loop = make_loop(mixed, CHAIN, demonstrations=failures, min_replay_size=50)
  loop.run(num_steps=1_000)
  assert returns(agent, CHAIN, 1) == 0.5


def test_the_margin_is_of_demonstrations_alone(tmp_path):
  path = demonstrations(tmp_path)
  agents_ = [make_loop(mixed, CHAIN, demonstrations=path, margin_cost=cost)[0] for cost in (0.0, 1.0)]
  programs = [a._program for a in agents_]
  sample = next(agents_[0].replay.dataset())
  changed = {}
  for table in (0, 1):
    given = sample._replace(keys=(), table_size=(), table=np.full_like(sample.table, table))
    losses = [jax.jit(p.update)(p.init(jax.random.PRNGKey(0)), given)[2]["loss"] for p in programs]
    changed[table] = losses[0] != losses[1]
  assert changed == {0: True, 1: False}


def make_check():
  """A program, and the battery's check of what is made of it."""
  subject = conformance.subjects(actor_critic.AGENT)[0]
  builder = runs.make_builder(subject.plugin, subject.config, subject.spec)
  program = builder.make_program(subject.spec)
  step_spec = builder.step_spec(subject.spec, program)
  return program, functools.partial(programs.check, sample=subject.sample, step_spec=step_spec)


def test_a_program_calls_its_arguments_as_it_likes():
  program, check = make_check()
  policy = dataclasses.replace(program.evaluation, initial=lambda p, n: program.evaluation.initial(p, n))
  check(dataclasses.replace(program, behaviour=None, evaluation=policy))


def test_an_update_that_doubles_its_precision_fails_the_battery():
  """Which only shows where JAX has 64 bits."""
  program, check = make_check()

  def update(state, sample):
    new, *others = program.update(state, sample)
    return jax.tree.map(lambda x: x * jax.numpy.ones((), float) if x.dtype == np.float32 else x, new), *others

  check(program)
  with pytest.raises(AssertionError, match="With jax_enable_x64 update makes float64 of the state's"):
    check(dataclasses.replace(program, update=update))


def make_offline(path, seed=0):
  """An agent, made without an environment."""
  spec = acme.make_environment_spec(CHAIN())
  return agents.Agent(offline.AGENT.builder(offline.Config(dataset=path)), spec, seed=seed)


def mostly_right(rng, state):
  """Comes to the end of the chain now and then."""
  return CHAIN().right(state) if rng.random() < 0.8 else rng.integers(2)


def test_offline_learns_what_nobody_showed_it_without_acting(tmp_path):
  agent = make_offline(record(tmp_path, CHAIN(), mostly_right, 60))
  learn(agent, 1_200)
  assert returns(agent, CHAIN, 1) == 1
  with pytest.raises(RuntimeError, match="learns from a dataset"):
    acme.EnvironmentLoop(CHAIN(), agent, logger=loggers.NullLogger()).run(num_steps=1)


@VECTOR
@pytest.mark.parametrize("module", [recurrent, actor_critic, mixed])
def test_resumes_exactly_within_an_episode(module, num_envs, tmp_path):
  config = {"batch_size": 4}
  if module is mixed:
    config |= {"demonstrations": demonstrations(tmp_path), "min_replay_size": 20}
  elif module is recurrent:
    config |= {"min_replay_size": 20}
  make = functools.partial(make_loop, module, HIDDEN if module is not mixed else CHAIN, num_envs, **config)
  (agent, loop), (again, other) = make(), make(seed=1)
  if module is mixed:
    learn(agent, 3)
  loop.run(num_steps=202 + (num_envs or 1))
  again.restore(agent.save())
  other.restore(loop.save())
  for each in (loop, other):
    each.run(num_steps=100)
  assert not runs.difference(agent.save(), again.save())


def test_offline_resumes_exactly(tmp_path):
  path = record(tmp_path, CHAIN(), mostly_right, 10)
  agent, again = make_offline(path), make_offline(path, seed=1)
  learn(agent, 10)
  again.restore(agent.save())
  for each in (agent, again):
    learn(each, 10)
  assert not runs.difference(agent.save(), again.save())


@pytest.mark.long  # Agents of each kind are held to it by `nox -s conformance`.
@pytest.mark.parametrize("module", [recurrent, actor_critic, mixed, offline])
def test_the_battery(module):
  """Whole but for what takes long: other observations, and each field's effect."""
  for name, run in conformance.items(module.AGENT):
    if not name.startswith(("check_specs", "check_field_changes")) and "shares" not in name:
      run()
