"""Specs, tables and rate limiters: what fits passes, and what does not says what, where and what to do."""

import math
import warnings

import dm_env
import numpy as np
import pytest

from acme import replay, specs, validation
from acme_testing import fakes

F = specs.Array((2,), np.float32)


@pytest.mark.parametrize("observation", fakes.OBSERVATIONS)
def test_specs_of_an_environment(observation):
  spec = fakes.make_spec(observation)
  assert specs.make_environment_spec(fakes.FakeEnvironment(spec)) == spec


def test_specs_of_what_is_no_environment():
  class Gym:
    observation_space = None

  with pytest.raises(TypeError, match=r"dm_env.Environment, got Gym. Wrap it: acme.wrappers.GymWrapper\(environment\)"):
    specs.make_environment_spec(Gym())
  with pytest.raises(TypeError, match="dm_env.Environment, got int"):
    specs.make_environment_spec(3)


@pytest.mark.parametrize(
  "change, where",
  [
    ({"observations": {"a": 3}}, r"got int at observations\['a'\]"),
    ({"actions": None}, "got NoneType at actions"),
    ({"rewards": (F, "x")}, r"got str at rewards\[1\]"),
  ],
)
def test_leaves_that_are_no_specs(change, where):
  with pytest.raises(TypeError, match=where):
    specs.make_environment_spec(fakes.FakeEnvironment(fakes.make_spec()._replace(**change)))


NESTED = {"a": F, "b": (specs.Array((), np.int32), specs.Array((3, 3), np.uint8))}


@pytest.mark.parametrize("spec", [F, NESTED, specs.Array((), bool), specs.Array((0,), np.float64)], ids=str)
@pytest.mark.parametrize("batch", [None, 4])
def test_values_that_fit(spec, batch):
  full = spec if batch is None else specs.batched(spec, batch)
  value = fakes.random_value(full, np.random.default_rng(0))
  validation.Validator("observation", spec, batch)(value)


@pytest.mark.parametrize(
  "spec, value, message",
  [
    (F, np.zeros(3, np.float32), r"x: expected shape \(2,\) as its spec says, got \(3,\)"),
    (F, np.zeros(2), "x: expected dtype float32 as its spec says, got float64"),
    (F, np.zeros(2, np.int32), "expected dtype float32.*got int32"),
    (F, None, "expected"),
    (F, "ab", "expected"),
    (F, {"a": np.zeros(2, np.float32)}, "expected"),
    (F, np.array([1, np.nan], np.float32), "expected finite numbers.*nan"),
    (F, np.array([np.inf, -np.inf], np.float32), "expected finite numbers.*inf"),
    (specs.Array((), np.int32), 1.5, "expected dtype int32"),
    (specs.Array((), np.float32), "1", "expected dtype float32"),
    (specs.Array((), np.float32), float("nan"), "expected finite"),
    (NESTED, {"a": np.zeros(2, np.float32)}, "x: expected the structure of its spec, .*Array"),
    (NESTED, np.zeros(2), "x: expected the structure"),
    (
      NESTED,
      {"a": np.zeros(2, np.float32), "b": (np.int32(1), np.zeros((3, 2), np.uint8))},
      r"x\[b\]\[1\]: expected shape \(3, 3\)",
    ),
    (NESTED, {"a": np.full(2, np.nan, np.float32), "b": (np.int32(1), np.zeros((3, 3), np.uint8))}, r"x\[a\].*finite"),
  ],
)
def test_values_that_do_not_fit(spec, value, message):
  with pytest.raises(ValueError, match=message):
    validation.Validator("x", spec)(value)


def test_large_finite_values_pass_without_a_warning():
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    validation.Validator("x", F)(np.array([3e38, 3e38], np.float32))


def test_discrete_and_continuous():
  discrete, continuous = fakes.make_spec(action="discrete"), fakes.make_spec(action="dict")
  assert specs.require_discrete(discrete, "DQN").num_values == 3
  assert set(specs.require_continuous(continuous, "D4PG")) == {"arm", "hand"}


@pytest.mark.parametrize(
  "check, action, words",
  [
    (specs.require_discrete, "continuous", ["discrete action spec", r"BoundedArray\(shape=\(2,\)", "Me", "acme-d4pg"]),
    (specs.require_discrete, "dict", ["arm", "hand"]),
    (specs.require_continuous, "discrete", ["continuous action spec", "DiscreteArray", "num_values=3", "acme-dqn"]),
    (specs.require_continuous, "free", ["finite bounds", r"Array\(shape=\(2,\)", "minimum and maximum"]),
  ],
)
def test_wrong_actions(check, action, words):
  for word in words:
    with pytest.raises(ValueError, match=word):
      check(fakes.make_spec(action=action), "Me")


@pytest.mark.parametrize("check, action", [(specs.require_discrete, "discrete"), (specs.require_continuous, "dict")])
@pytest.mark.parametrize("rewards", [specs.Array((1,), np.float32), {"a": specs.Array((), np.float32)}])
def test_rewards_that_are_not_one_number_are_refused(check, action, rewards):
  with pytest.raises(ValueError, match="scalar reward spec.*Me learns from one number"):
    check(fakes.make_spec(action=action)._replace(rewards=rewards), "Me")


@pytest.mark.parametrize("low, high", [(-np.inf, 1), (0, np.inf), (np.nan, 1)])
def test_half_bounded_actions_are_refused(low, high):
  spec = fakes.make_spec()._replace(actions=specs.BoundedArray((1,), np.float32, low, high))
  with pytest.raises(ValueError, match="finite bounds"):
    specs.require_continuous(spec, "Me")


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: replay.Table(max_size=0), "'replay': expected max_size of 1 or more, got 0"),
    (lambda: replay.Table(name="q", max_times_sampled=0), "'q': expected max_times_sampled of 1 or more, got 0"),
    (
      lambda: replay.Table(max_size=5, rate_limiter=replay.RateLimiter(min_size=6)),
      "min_size 6 is more than max_size 5",
    ),
    (lambda: replay.RateLimiter(min_size=0), "min_size: expected 1 or more, got 0"),
    (lambda: replay.RateLimiter(samples_per_insert=0), "samples_per_insert: expected a number above 0, got 0"),
    (lambda: replay.RateLimiter(samples_per_insert=math.inf), "above 0, got inf"),
    (lambda: replay.RateLimiter(samples_per_insert=math.nan), "above 0, got nan"),
    (lambda: replay.Prioritized(-1), "0 or more, got -1"),
    (lambda: replay.Prioritized(math.nan), "0 or more, got nan"),
  ],
)
def test_descriptions_of_tables_are_checked(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize("ratio", [0.1, 1 / 3, 0.7, 1, 32.5, np.float32(0.1), 1e-7])
def test_a_rate_limiter_never_drifts(ratio):
  limiter = replay.RateLimiter(min_size=3, samples_per_insert=ratio)
  assert [limiter.allowed(i, 0) for i in range(4)] == [0, 0, 0, 0]
  million = limiter.allowed(10**6 + 3, 0)
  assert abs(million - round(float(str(ratio)) * 10**6)) <= 1
  assert limiter.allowed(10**6 + 3, 5) == million - 5


def test_a_rate_limiter_without_a_ratio():
  limiter = replay.RateLimiter(min_size=2)
  assert limiter.allowed(1, 0) == 0 and limiter.allowed(2, 10**9) == math.inf


def test_constructors_of_dm_env_pass_the_specs_of_a_fake():
  spec = fakes.make_spec()
  timestep = dm_env.termination(1.0, np.zeros(5, np.float32))
  validation.Validator("discount", spec.discounts)(timestep.discount)
