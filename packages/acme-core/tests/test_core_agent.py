"""Agent's schedule is exact, its input is checked, and its parts are put together once."""

import math
from fractions import Fraction

import dm_env
import numpy as np
import pytest

from acme import agents, builders, core, experience, replay
from acme_testing import fakes

SPEC = fakes.make_spec()


class CountingReplay(replay.Replay):
  """Counts, and holds nothing."""

  def __init__(self, description, step_spec, seed):
    self.description, self.step_spec, self.seed = description, step_spec, seed
    self.limiter = description.table("replay").rate_limiter
    self.inserts = self.samples = self.before = 0

  def adder(self, num_streams=None):
    self.num_streams = num_streams
    return "adder"

  def dataset(self):
    batch_size = self.description.batch_size
    while True:
      self.samples += batch_size
      self.before -= self.before > 0
      yield replay.Sample((), np.zeros(batch_size, np.int64), np.ones(batch_size))

  def update_priorities(self, keys, priorities):
    pass

  def info(self):
    return {}

  def available(self):
    return self.limiter.allowed(self.inserts, self.samples)

  def pretraining(self):
    return self.before

  def save(self):
    return [self.inserts, self.samples]

  def restore(self, state):
    self.inserts, self.samples = state


class FakeLearner(core.Learner):
  def __init__(self, inputs):
    self.inputs, self.steps = inputs, 0

  def step(self):
    next(self.inputs.dataset)
    self.steps += 1

  def get_variables(self, names):
    return [self.steps for _ in names]

  def save(self):
    return self.steps

  def restore(self, state):
    self.steps = state


class FakeActor(fakes.RandomActor):
  updates = 0

  def update(self, wait=False):
    self.updates += 1


class FakeBuilder(builders.Builder):
  config = None

  def __init__(self, **items):
    self.description = experience.Transitions(**{"batch_size": 1, **items})

  def make_program(self, spec):
    return "program"

  def make_experience(self, spec, program):
    return self.description

  def make_learner(self, spec, program, inputs):
    return FakeLearner(inputs)

  def make_actor(self, spec, program, inputs):
    actor = FakeActor(spec, seed=inputs.seed)
    actor.inputs = inputs
    return actor


def make(**kwargs):
  seed, num_envs = kwargs.pop("seed", 0), kwargs.pop("num_envs", None)
  return agents.Agent(FakeBuilder(**kwargs), SPEC, replay=CountingReplay, seed=seed, num_envs=num_envs)


RATIOS = [0.1, 0.3, 0.333, 1 / 3, 0.7, 1.0, 1.1, 2.5, 7, 32.0, 1e-3]


@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("min_size", [1, 10])
def test_steps_are_an_exact_fraction_of_inserts(ratio, batch_size, min_size):
  agent = make(batch_size=batch_size, samples_per_insert=ratio, min_size=min_size)
  exact = Fraction(str(ratio))
  for inserts in range(1, 1200):
    agent.replay.inserts = inserts
    agent.update()
    due = max(0, math.floor(exact * (inserts - min_size))) // batch_size
    assert agent.learner.steps == due, f"after {inserts} inserts"


@pytest.mark.parametrize("ratio", RATIOS)
def test_steps_do_not_depend_on_how_often_update_is_called(ratio):
  often, seldom = (make(batch_size=4, samples_per_insert=ratio, min_size=5) for _ in range(2))
  for inserts in range(1, 800):
    often.replay.inserts = seldom.replay.inserts = inserts
    often.update()
    if inserts % 37 == 0:
      seldom.update()
      assert seldom.learner.steps == often.learner.steps


def test_without_a_ratio_one_step_an_update():
  agent = make(batch_size=4, min_size=3)
  for inserts in range(1, 8):
    agent.replay.inserts = inserts
    agent.update()
  assert agent.learner.steps == 5


def test_what_comes_before_acting_is_learned_when_the_first_episode_begins():
  agent = make(batch_size=4, min_size=1000)
  agent.replay.before = 5
  agent.learner.step()  # As a LearningLoop does.
  for _ in range(2):
    agent.observe_first(dm_env.restart(SPEC.observations.generate_value()))
    assert agent.learner.steps == 5


def test_the_actor_is_updated_after_learner_steps_only():
  agent = make(samples_per_insert=0.5, min_size=1)
  for inserts in range(1, 10):
    agent.replay.inserts = inserts
    agent.update()
  assert (agent.learner.steps, agent.actor.updates) == (4, 4)


def test_components_have_seeds_of_their_own():
  def seeds(seed):
    agent = make(seed=seed)
    inputs = (agent.learner.inputs, agent.actor.inputs, agent.make_evaluator().inputs)
    return [agent.replay.seed, *(each.seed for each in inputs)]

  assert len(set(seeds(0))) == 4 and seeds(0) == seeds(0) and not set(seeds(0)) & set(seeds(1))


def test_components_are_given_what_they_need():
  agent = make(num_envs=3)
  inputs = agent.actor.inputs
  assert (inputs.adder, inputs.num_envs, inputs.evaluation, inputs.streams) == ("adder", 3, False, (0, 3))
  assert agent.replay.num_streams == 3
  assert agent.replay.step_spec.observation is SPEC.observations and agent.replay.step_spec.extras == ()
  evaluator = agent.make_evaluator().inputs
  assert (evaluator.adder, evaluator.num_envs, evaluator.evaluation) == (None, None, True)
  assert agent.get_variables(["a", "b"]) == [0, 0]


@pytest.mark.parametrize("exponent, wanted", [(None, False), (0.6, True)])
def test_priorities_go_back_where_somebody_wants_them(exponent, wanted):
  agent = make(priority_exponent=exponent)
  assert (agent.learner.inputs.replay is agent.replay) == wanted


@pytest.mark.parametrize(
  "index, num_envs, num_actors, streams", [(0, None, 1, (0, 1)), (2, None, 4, (2, 4)), (1, 3, 4, (3, 12))]
)
def test_streams_are_numbered_over_all_actors(index, num_envs, num_actors, streams):
  inputs = builders.ActorInputs(variables=None, index=index, num_envs=num_envs, num_actors=num_actors)
  assert inputs.streams == streams


O = np.zeros(5, np.float32)  # noqa: E741
MID = dm_env.transition(np.float32(1), O, np.float32(0.9))
NAN = np.full(5, np.nan, np.float32)


@pytest.mark.parametrize(
  "timestep, message",
  [
    (MID._replace(observation=NAN), "observation: expected finite numbers"),
    (MID._replace(observation=O[:3]), r"observation: expected shape \(5,\).*got \(3,\)"),
    (MID._replace(observation=O.astype(np.float64)), "observation: expected dtype float32.*got float64"),
    (MID._replace(observation={"a": O}), "observation: expected"),
    (MID._replace(reward=np.float32(np.nan)), "reward: expected finite"),
    (MID._replace(reward=np.float32(-np.inf)), "reward: expected finite"),
    (MID._replace(reward=None), "reward: expected"),
    (MID._replace(reward="1"), "reward: expected"),
    (MID._replace(discount=np.float32(np.nan)), "discount: expected finite"),
    (MID._replace(discount=None), "discount: expected"),
  ],
)
def test_bad_timesteps_are_refused(timestep, message):
  agent = make()
  agent.observe_first(dm_env.restart(O))
  with pytest.raises(ValueError, match=message):
    agent.observe(np.int32(0), timestep)


def test_python_numbers_do_for_rewards_and_discounts():
  agent = make()
  agent.observe_first(dm_env.restart(O))
  for reward, discount in ((1.5, 0.5), (1, 1), (np.float64(2), np.float64(0.5)), (True, 1.0)):
    agent.observe(np.int32(0), dm_env.transition(reward, O, discount))


def test_observe_first_comes_first():
  agent = make()
  with pytest.raises(RuntimeError, match=r"observe\(\) came before observe_first\(\)"):
    agent.observe(np.int32(0), MID)
  with pytest.raises(ValueError, match="observation: expected finite"):
    agent.observe_first(dm_env.restart(NAN))
  with pytest.raises(RuntimeError, match="observe_first"):
    agent.observe(np.int32(0), MID)
  agent.observe_first(dm_env.restart(O))
  agent.observe(np.int32(0), MID)
  state = agent.save()
  agent.observe(np.int32(0), dm_env.termination(np.float32(1), O))
  with pytest.raises(RuntimeError, match="observe_first"):
    agent.observe(np.int32(0), MID)
  agent.restore(state)
  agent.observe(np.int32(0), MID)


def test_vectors_of_environments_are_checked_and_go_on_after_a_last_step():
  agent = make(num_envs=2)
  two = np.zeros((2, 5), np.float32)
  ones = np.ones(2, np.float32)
  agent.observe_first(dm_env.TimeStep(np.zeros(2, int), ones, ones, two))
  with pytest.raises(ValueError, match=r"observation: expected shape \(2, 5\).*got \(5,\)"):
    agent.observe(np.zeros(2, np.int32), dm_env.TimeStep(np.ones(2, int), ones, ones, O))
  with pytest.raises(ValueError, match=r"reward: expected shape \(2,\).*got \(\)"):
    agent.observe(np.zeros(2, np.int32), dm_env.TimeStep(np.ones(2, int), np.float32(1), ones, two))
  for kind in (2, 0, 1):
    agent.observe(np.zeros(2, np.int32), dm_env.TimeStep(np.full(2, kind), ones, ones, two))


def test_an_evaluator_plans_in_copies_of_its_own_environment(monkeypatch):
  agent, environment = make(), object()
  with pytest.raises(ValueError, match="does not plan in copies of its environment"):
    agent.make_evaluator(environment)
  planned = []
  monkeypatch.setattr(FakeBuilder, "with_simulator", lambda self, simulator: planned.append(simulator) or self)
  agent.make_evaluator()
  agent.make_evaluator(environment)
  assert planned == [environment]


def test_save_and_restore_reach_every_part():
  agent = make(samples_per_insert=1.0, min_size=1)
  agent.replay.inserts = 8
  agent.update()
  state = agent.save()
  other = make(samples_per_insert=1.0, min_size=1, seed=5)
  other.restore(state)
  assert other.learner.steps == 7 and other.replay.samples == 7
  assert other.select_action(O) == agent.select_action(O)


def test_an_episode_begins_with_the_newest_parameters():
  agent = make()
  agent.learner.step()  # As a LearningLoop does, before anybody acts.
  agent.observe_first(dm_env.restart(O))
  assert agent.actor.updates == 1
