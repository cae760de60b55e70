"""The learner's scaffolding, on a one-parameter regression."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import builders, configs, counting, experience, loggers, replay
from acme_jax import learning
from acme_jax.builder import ProgramBuilder
from acme_jax.program import Program


class State(NamedTuple):
  w: jax.Array
  steps: jax.Array


def update(state, sample):
  error = sample.data - state.w  # [B]
  w = state.w + 0.1 * jnp.mean(error)
  return State(w, state.steps + 1), jnp.abs(error), {"loss": jnp.mean(error**2)}


class Store:
  """Gives data[i] as the i-th sample, and keeps the priorities."""

  def __init__(self, data):
    self.data = data
    self.log = []

  def __iter__(self):
    for i, data in enumerate(self.data):
      self.log.append(("sample", i))
      data = np.asarray(data, np.float32)
      yield replay.Sample(data, np.arange(len(data)) + 10 * i, np.full(len(data), 0.5), 10)

  def update_priorities(self, keys, priorities):
    self.log.append(("priorities", keys.tolist(), priorities.tolist()))


def make_program(update=update):
  return Program(
    init=lambda key: State(jnp.zeros(()), jnp.zeros((), jnp.int32)),
    update=update,
    params=lambda s: s.w,
    variables=lambda s: {"policy": s.w, "steps": s.steps},
    behaviour=None,
    evaluation=None,
    space=None,
  )


def make(store, *, prioritized=True, logger=None, counter=None, **kwargs: Any):
  inputs = builders.LearnerInputs(
    dataset=iter(store), replay=store if prioritized else None, logger=logger, counter=counter
  )
  return learning.Learner(make_program(), inputs, **kwargs)


def take(learner, num_steps):
  for _ in range(num_steps):
    learner.step()


def test_priorities_are_handed_back_before_the_next_sample():
  store = Store([[0, 2], [3, 4], [5, 6]])
  learner = make(store)
  take(learner, 2)
  assert store.log == [("sample", 0), ("priorities", [0, 1], [0, 2]), ("sample", 1)]


def test_nobody_wants_priorities():
  store = Store([[1, 2], [3, 4]])
  learner = make(store, prioritized=False)
  take(learner, 2)
  assert store.log == [("sample", 0), ("sample", 1)]


def test_saving_changes_nothing_and_restoring_goes_on_bit_for_bit():
  data = np.random.default_rng(0).normal(size=(6, 4))
  store, other = Store(data), Store(data)
  a = make(store)
  take(a, 3)
  state = a.save()
  handed_back = len(store.log)
  take(a, 3)
  b = make(other)
  next(b._dataset), next(b._dataset), next(b._dataset)
  other.log.clear()
  b.restore(state)
  take(b, 3)
  assert other.log == store.log[handed_back:]
  for left, right in zip(a.save()["state"], b.save()["state"], strict=True):
    np.testing.assert_array_equal(left, right)
  assert a.save()["steps"] == 6


def test_scan_is_the_same_as_single_steps():
  data = np.random.default_rng(0).normal(size=(4, 2))
  one, many = Store(data), Store(data.reshape(2, 4))
  a, b = make(one), make(many, num_sgd_steps=2)
  take(a, 4), take(b, 2)
  np.testing.assert_allclose(a.get_variables(["policy"]), b.get_variables(["policy"]), rtol=1e-6)
  assert a.save()["steps"] == b.save()["steps"] == 4
  first = [entry for entry in many.log if entry[0] == "priorities"][0]
  assert len(first[1]) == len(first[2]) == 4


def test_a_config_of_any_kind_may_ask_for_several_updates_in_a_step():
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Config(configs.Config):
    num_sgd_steps_per_step: configs.PositiveInt = 2

  builder = ProgramBuilder(Config(), experience.Transitions(), lambda spec: make_program())
  inputs = builders.LearnerInputs(dataset=iter(Store([[1, 2, 3, 4]])))
  learner = builder.make_learner(None, make_program(), inputs)
  learner.step()
  assert learner.save()["steps"] == 2


@pytest.mark.parametrize(("prioritized", "late"), [(True, 1), (False, 16)])
def test_a_loss_that_is_not_finite_is_an_error_soon_and_is_never_saved(prioritized, late):
  store = Store([[1, 2], [np.nan, 4], *[[5, 6]] * 16])
  learner = make(store, prioritized=prioritized)
  take(learner, 2)
  with pytest.raises(FloatingPointError, match=r"loss is nan at SGD step 2.*max_gradient_norm"):
    learner.save()
  with pytest.raises(FloatingPointError, match="SGD step"):
    take(learner, late)
  assert not any("nan" in str(entry) for entry in store.log)


def test_any_metric_that_is_not_finite_is_an_error():
  def diverging(state, sample):
    state, priorities, metrics = update(state, sample)
    return state, priorities, metrics | {"policy_loss": jnp.where(state.steps == 2, jnp.inf, 0.0)}

  learner = learning.Learner(make_program(diverging), builders.LearnerInputs(dataset=iter(Store([[1, 2]] * 3))))
  learner.step()
  learner.save()
  learner.step()
  with pytest.raises(FloatingPointError, match="nan at SGD step 2"):
    learner.save()


def test_get_variables_honours_names():
  learner = make(Store([[1, 2]]))
  steps, w = learner.get_variables(["steps", "policy"])
  assert (steps, w) == (0, 0) and learner.get_variables(["params"]) == [0]
  assert learner.get_variables(["policy", "params"]) == [0, 0]
  with pytest.raises(KeyError, match="'target'; known: params, policy, steps"):
    learner.get_variables(["target"])


def test_logs_at_most_every_so_often_and_counts():
  rows, counter = loggers.InMemoryLogger(), counting.Counter()
  learner = make(Store([[1, 2]] * 5), logger=rows, counter=counter, log_seconds=1e6, num_sgd_steps=2)
  take(learner, 5)
  (row,) = rows.rows
  assert row["loss"] == pytest.approx((1 + (2 - 0.1) ** 2) / 2)
  assert row["learner_steps"] == 2
  assert counter.get_counts() == {"learner_steps": 10}


@pytest.mark.parametrize(
  ("leaves", "message"),
  [
    ([np.zeros(())], r"has 1 arrays, expected 2"),
    ([np.zeros((2,), np.float32), np.zeros((), np.int32)], r"float32\[2\] at \.w, expected float32\[\]"),
    ([np.zeros((), np.float64), np.zeros((), np.int32)], r"float64\[\] at \.w, expected float32\[\]"),
    ({"online": {"w": np.zeros(())}, "steps": {}}, r"by name \(online, steps\), as learners in TensorFlow have them"),
  ],
)
def test_restoring_something_else_is_an_error(leaves, message):
  learner = make(Store([]))
  with pytest.raises(ValueError, match=message):
    learner.restore({"steps": 0, "state": leaves, "pending": None})


def test_importance_weights():
  weights = learning.importance_weights(jnp.array([0.1, 0.4, 0.5]), 0.5)
  np.testing.assert_allclose(weights, np.array([1, 0.5, np.sqrt(0.2)]), rtol=1e-6)
  np.testing.assert_array_equal(learning.importance_weights(jnp.array([0.1, 0.4]), 0.0), [1, 1])


def test_float64_is_seen_as_float32():
  def typed(state, sample):
    assert sample.data.dtype == sample.probabilities.dtype == jnp.float32
    return update(state, sample)

  with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
    state, _, metrics = jax.jit(learning.checked(typed))(
      State(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32)), replay.Sample(np.ones(2), (), np.ones(2), ())
    )
  assert state.w.dtype == jnp.float32 and np.isfinite(metrics["loss"])
