"""The border with environments: what does not fit is an error that names it, and no array is shared."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

import acme
from acme import loggers, replay, types
from acme.wrappers import Checked
from acme_replay import EmbeddedStore, NStepTransitionAdder
from acme_testing import fakes

F = np.float32
FIRST, MID, LAST = dm_env.StepType
BOX = specs.BoundedArray((2,), F, -1, 1)


class Tiny(dm_env.Environment):
  """Episodes of three steps, with dm_env's own float64 rewards and discounts; `give` changes what a step gives."""

  def __init__(self, give=lambda timestep: timestep, action=BOX):
    self.give, self.action, self.count, self.closed = give, action, 0, False

  def reset(self):
    self.count = 0
    return dm_env.restart(np.zeros(2, F))

  def step(self, action):
    self.count += 1
    observation = np.full(2, self.count, F)
    end = self.count == 3
    return self.give(dm_env.termination(1.0, observation) if end else dm_env.transition(0.5, observation))

  def observation_spec(self):
    return specs.Array((2,), F)

  def action_spec(self):
    return self.action

  def close(self):
    self.closed = True


class Keeper(fakes.RandomActor):
  """Keeps what it is shown, as it is shown."""

  num_envs = None

  def __init__(self, environment, **kwargs):
    super().__init__(acme.make_environment_spec(environment), **kwargs)
    self.seen, self.actions = [], []

  def select_action(self, observation):
    if self.num_envs is None:
      return super().select_action(observation)
    return np.stack([super(Keeper, self).select_action(observation) for _ in range(self.num_envs)])

  def observe_first(self, timestep):
    self.seen.append(timestep)

  def observe(self, action, next_timestep):
    self.actions.append(action)
    self.seen.append(next_timestep)


def run_single(environment, actor, steps=7):
  acme.EnvironmentLoop(environment, actor, logger=loggers.NullLogger()).run(num_steps=steps)


def run_vector(environment, actor, steps=14):
  actor.num_envs = 2
  other = Tiny(action=environment.action_spec())
  acme.VectorEnvironmentLoop([other, environment], actor, logger=loggers.NullLogger()).run(num_steps=steps)


def run_evaluation(environment, actor):
  acme.evaluate(environment, actor, 2)


RUNS = [run_single, run_vector, run_evaluation]


@pytest.mark.parametrize("run", RUNS)
def test_an_environment_that_changes_its_action_changes_nobody_elses(run):
  class Greedy(Tiny):
    def step(self, action):
      action *= 99
      return super().step(action)

  environment = Greedy()
  actor = Keeper(environment)
  run(environment, actor)
  assert np.abs(actor.actions).max() <= 1


@pytest.mark.parametrize("run", RUNS)
def test_an_environment_that_uses_its_array_again_changes_nothing_given_before(run):
  class Reusing(Tiny):
    buffer = np.zeros(2, F)  # One for all of them.

    def reset(self):
      return self._reuse(super().reset())

    def step(self, action):
      return self._reuse(super().step(action))

    def _reuse(self, timestep):
      self.buffer[...] = timestep.observation
      return timestep._replace(observation=self.buffer)

  plain, reusing = (Keeper(Tiny()) for _ in range(2))
  run(Tiny(), plain)
  run(Reusing(), reusing)
  for one, other in zip(plain.seen, reusing.seen, strict=True):
    np.testing.assert_array_equal(one.observation, other.observation)


def change(**fields):
  return lambda timestep: timestep._replace(**fields)


BAD_STEPS = {
  "reward: expected .*None": change(reward=None),
  "reward: expected .*'1.5'": change(reward="1.5"),
  "reward: expected finite": change(reward=np.nan),
  "reward: expected finite.*inf": change(reward=np.inf),
  r"reward: expected shape \(\)": change(reward=np.zeros(1)),
  "reward: expected .*object": change(reward=np.array(None)),
  r"discount: expected a number in \[0, 1\], got .*5": change(discount=5.0),
  r"discount: expected a number in \[0, 1\], got .*-0.1": change(discount=-0.1),
  "discount: expected .*None": change(discount=None),
  r"step_type of 0, 1 or 2 \(dm_env.StepType\), got 7": change(step_type=7),
  "step_type of 0, 1 or 2.*got None": change(step_type=None),
  "step_type of 0, 1 or 2.*got 'MID'": change(step_type="MID"),
  "step_type of 0, 1 or 2.*got array": change(step_type=np.zeros(2)),
  "expected a dm_env.TimeStep, got tuple.*GymWrapper": lambda timestep: (timestep.observation, 1.0, False, {}),
  "expected a dm_env.TimeStep, got NoneType": lambda timestep: None,
  "observation: expected dtype float32.*got float64": change(observation=np.zeros(2)),
  "observation: expected .*None": change(observation=None),
  "observation: expected .*object": change(observation=np.array([None, 1])),
  "observation: expected an array of float32.*inhomogeneous": change(observation=[[1.0], [1.0, 2.0]]),
  "observation: expected finite": change(observation=np.array([0, np.inf], F)),
  r"observation\[1\]: expected a number that float32 holds, got .*1e\+300.*inf": change(observation=[0.0, 1e300]),
  "MID or LAST within an episode, got FIRST.*one of their own": change(step_type=FIRST),
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("message", BAD_STEPS)
def test_bad_steps_are_errors_that_name_what_came(run, message):
  environment = Tiny(BAD_STEPS[message])
  with pytest.raises((ValueError, TypeError), match=message) as info:
    run(environment, Keeper(environment))
  assert environment.closed
  if run is run_vector:
    assert str(info.value).startswith("environment 1: ")


def test_a_float32_spec_does_not_take_what_becomes_infinite():
  class Single(Tiny):
    def reward_spec(self):
      return specs.Array((), F)

  environment = Single(change(reward=1e300))
  with pytest.raises(ValueError, match=r"reward: expected a number that float32 holds, got .*1e\+300"):
    run_single(environment, Keeper(environment))


@pytest.mark.parametrize("first", [dm_env.transition(0.0, np.zeros(2, F)), (np.zeros(2, F), {}), dm_env.restart(None)])
def test_bad_resets_are_errors(first):
  environment = Tiny()
  environment.reset = lambda: first
  with pytest.raises((ValueError, TypeError), match=r"expected (a timestep of type FIRST|a dm_env.TimeStep|dtype)"):
    run_single(environment, Keeper(environment))


BAD_ACTIONS = [
  (BOX, np.array([0, 1.01], F), "action: expected numbers within the bounds of its spec, -1.0 to 1.0, got .*1.01"),
  (BOX, np.array([0, np.nan], F), "action: expected finite"),
  (BOX, np.zeros(3, F), r"action: expected shape \(2,\)"),
  (BOX, None, "action: expected .*None"),
  (specs.DiscreteArray(3), 3, "action: expected numbers within the bounds of its spec, 0 to 2, got .*3"),
  (specs.DiscreteArray(3), -1, "action: expected numbers within"),
  (specs.DiscreteArray(3), 1.5, "action: expected a number that int32 holds, got .*1.5.*1"),
  (specs.DiscreteArray(3), np.int64(2**32 + 1), "action: expected a number that int32 holds, got .*4294967297"),
]


@pytest.mark.parametrize("spec, action, message", BAD_ACTIONS)
@pytest.mark.parametrize("run", RUNS)
def test_bad_actions_are_errors(run, spec, action, message):
  environment = Tiny(action=spec)
  actor = Keeper(environment)
  actor.select_action = lambda _: [action] * 2 if run is run_vector else action
  with pytest.raises(ValueError, match=message if run is not run_vector else "action.*: expected"):
    run(environment, actor)


@pytest.mark.parametrize("spec, action", [(BOX, [0.5, 1]), (BOX, np.zeros(2)), (specs.DiscreteArray(3), np.int64(2))])
def test_actions_that_the_spec_holds_pass(spec, action):
  environment = Tiny(action=spec)
  actor = Keeper(environment)
  actor.select_action = lambda _: action
  run_single(environment, actor)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("dtype", [np.float64, F, np.int32, np.int64])
def test_rewards_of_any_dtype(run, dtype):
  class Typed(Tiny):
    def reward_spec(self):
      return specs.Array((), dtype)

    def step(self, action):
      return super().step(action)._replace(reward=dtype(2))

  environment = Typed()
  actor = Keeper(environment)
  if run is run_vector:
    actor.num_envs, rows = 2, loggers.InMemoryLogger()
    acme.VectorEnvironmentLoop([Typed(), environment], actor, logger=rows).run(num_episodes=2)
    assert [row["episode_return"] for row in rows.rows] == [6, 6]
  else:
    run(environment, actor)
  assert all(t.reward.dtype == dtype for t in actor.seen if t.reward is not None)


@pytest.mark.parametrize("run", RUNS)
def test_dm_envs_own_specs_of_rewards_and_discounts(run):
  environment = Tiny()
  assert environment.reward_spec().dtype == environment.discount_spec().dtype == np.float64
  run(environment, Keeper(environment))


@pytest.mark.parametrize("wrap", [lambda e: e, acme.wrappers.EnvironmentWrapper])
def test_an_environment_given_twice_is_an_error(wrap):
  environment = Tiny()
  with pytest.raises(ValueError, match="one of them twice.*make them one by one"):
    acme.VectorEnvironmentLoop([environment, Tiny(), wrap(environment)], Keeper(environment))


def test_evaluating_in_the_training_environment_is_an_error():
  environment = Tiny()
  loop = acme.EnvironmentLoop(environment, Keeper(environment), logger=loggers.NullLogger())
  loop.run(num_steps=2)
  acme.evaluate(environment, Keeper(environment), 1)
  environment.step = lambda action: environment.reset()  # As dm_env asks after the last timestep.
  with pytest.raises(ValueError, match="evaluates in this environment, give them one of their own"):
    loop.run(num_steps=2)


class Vector:
  """Two environments stepped as one, whose step types are given."""

  num_envs = 2

  def __init__(self, *step_types):
    self.step_types = list(step_types)
    for name in ("observation_spec", "action_spec", "reward_spec", "discount_spec"):
      setattr(self, name, getattr(Tiny(), name))

  def reset(self):
    return self.step(None)

  def step(self, action):
    return dm_env.TimeStep(self.step_types.pop(0), np.zeros(2), np.ones(2), np.zeros((2, 2), F))

  def close(self):
    pass


@pytest.mark.parametrize(
  "step_types, message",
  [
    ([[0, 0], [1, 2], [1, 1]], "expected .*FIRST of environment 1.*got.*MID.*resets in the step that ends its episode"),
    ([[0, 0], [1, 0]], "within the episode of environment 1, got FIRST.*some of their own"),
    ([[0, 1]], "reset.*expected.*FIRST of environment 1"),
    ([[0, 0], [1, 3]], r"step_type: expected \[2\] of 0, 1 or 2"),
    ([[0, 0], [1, 1, 1]], r"step_type: expected \[2\] of 0, 1 or 2"),
    ([[0, 0], None], "step_type: expected"),
  ],
)
def test_vector_environments_are_held_to_their_order(step_types, message):
  actor = Keeper(Tiny())
  actor.num_envs = 2
  with pytest.raises(ValueError, match=message):
    acme.VectorEnvironmentLoop(Vector(*step_types), actor, logger=loggers.NullLogger()).run(num_steps=20)


def test_rewards_of_several_numbers_do_not_stack():
  class Many(Tiny):
    def reward_spec(self):
      return specs.Array((2,), F)

  with pytest.raises(ValueError, match=r"reward spec of one number.*\(2,\)"):
    acme.VectorEnvironmentLoop([Many()], Keeper(Tiny()))


@pytest.mark.parametrize("run", RUNS)
def test_what_close_raises_does_not_hide_the_error_before(run):
  class Broken(Tiny):
    def step(self, action):
      raise ZeroDivisionError("step")

    def close(self):
      raise OSError("close")

  with pytest.raises(ZeroDivisionError, match="step") as info:
    run(Broken(), Keeper(Tiny()))
  assert info.value.__notes__ == ["Closing the environment then raised OSError: close"]
  with pytest.raises(ZeroDivisionError), acme.EnvironmentLoop(Broken(), Keeper(Tiny()), logger=loggers.NullLogger()):
    raise ZeroDivisionError


def test_every_environment_is_closed_though_one_raises():
  environments = [Tiny() for _ in range(3)]
  environments[1].close = lambda: 1 / 0
  loop = acme.VectorEnvironmentLoop(environments, Keeper(Tiny()), logger=loggers.NullLogger())
  with pytest.raises(ZeroDivisionError):
    loop.close()
  assert environments[0].closed and environments[2].closed


def test_seeds_above_int32_where_an_environment_refuses_them():
  class Narrow(Tiny):
    seeds = []

    def seed(self, seed):
      self.seeds.append(int.from_bytes(seed.to_bytes(4, signed=True), signed=True))  # Raises where it is no int32.

  class Wide(Narrow):
    seeds = []

    def seed(self, seed):
      self.seeds.append(seed)

  for environment in (Narrow(), Wide()):
    acme.EnvironmentLoop(environment, Keeper(environment), seed=0, logger=loggers.NullLogger()).run(num_episodes=20)
  assert max(Wide.seeds) >= 2**31 and Wide.seeds == [acme.episode_seed(0, i) for i in range(20)]
  assert Narrow.seeds == [seed & (2**31 - 1) for seed in Wide.seeds]


SCRAPS = [
  None, "1.5", b"x", True, 3, -1, 1.5, float("nan"), float("inf"), 1e300, 2**70, 1j, object(), [], (), {}, {"a": 1},
  [1.0, 2.0], [[1.0], [1.0, 2.0]], np.zeros(2, F), np.zeros(2), np.zeros(3, F), np.zeros((2, 1), F), np.zeros(2, int),
  np.array([np.nan, 0], F), np.array([0, -np.inf], F), np.array([1e300, 0]), np.array([None, 1.0]), np.array("x"),
  np.float32(np.nan), np.float64(1e300), np.array(2.0), np.array([1.0]), np.datetime64(0, "s"), np.ma.masked, lambda: 0,
]  # fmt: skip


class Recording(Keeper):
  """Records what it is shown in a replay, as agents do."""

  def __init__(self, environment):
    super().__init__(environment)
    spec = acme.make_environment_spec(environment)
    step = types.Step(spec.observations, spec.actions, spec.rewards, spec.discounts, specs.Array((), bool))
    self.store = EmbeddedStore([replay.Table(max_size=100)], step, seed=0)
    self.adder = NStepTransitionAdder(self.store.writer(), n_step=2)

  def observe_first(self, timestep):
    self.adder.add_first(timestep)

  def observe(self, action, next_timestep):
    self.adder.add(action, next_timestep)


@pytest.mark.parametrize("field", dm_env.TimeStep._fields)
@pytest.mark.parametrize("single", [True, False], ids=["float32", "float64"])
def test_whatever_an_environment_gives_it_is_refused_or_finite(field, single):
  class Odd(Tiny):
    def reward_spec(self):
      return specs.Array((), F) if single else super().reward_spec()

  rng = np.random.default_rng(0)
  for scrap in SCRAPS:
    good = int(rng.integers(1, 12))
    steps = iter(range(100))
    environment = Odd(lambda t, s=scrap, g=good, n=steps: t._replace(**{field: s}) if next(n) == g else t)
    for actor, run in ((Recording(environment), run_single), (Keeper(environment), run_evaluation)):
      try:
        run(environment, actor, *([12] if run is run_single else []))
      except (ValueError, TypeError) as error:
        assert "expected" in str(error) and "\n" not in str(error), error
      if isinstance(actor, Recording) and actor.store.info()["replay"].size:
        data = next(actor.store.dataset("replay", 32)).data
        assert all(np.isfinite(leaf).all() for leaf in data[:5])


def test_a_checked_environment_alone_is_one_of_dm_envs():
  environment = Checked(Tiny())
  assert not hasattr(environment, "seed") and environment.reset().first()
  kinds = [environment.step(np.zeros(2, F)).step_type for _ in range(3)]
  assert kinds == [MID, MID, LAST]
