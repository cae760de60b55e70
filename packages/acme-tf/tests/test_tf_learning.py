"""The learner's scaffolding and variables by name: exactness of saving, errors, priorities, several steps in one."""

import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from acme import builders, counting, experience, loggers, replay, specs, types
from acme_tf import builder, learning, networks, program, variables

X = np.zeros((1, 3), np.float32)


def make_network():
  return snt.Sequential([networks.MLP([16]), snt.Linear(1, name="value")])


class Dataset:
  """Batches that differ, from a position that a test may set."""

  def __init__(self, batch_size, scale=1.0):
    self.position = 0
    self._size = batch_size
    self._scale = scale

  def __iter__(self):
    return self

  def __next__(self):
    rng = np.random.default_rng(self.position)
    self.position += 1
    observation = rng.normal(size=(self._size, 3)).astype(np.float32) * np.float32(self._scale)
    data = types.Transition(
      observation, np.zeros(self._size, np.int32), observation.sum(-1), np.ones(self._size, np.float32), observation
    )
    return replay.Sample(data, np.arange(self._size), np.full(self._size, 0.1))


class Replay:
  def __init__(self):
    self.calls = []

  def update_priorities(self, keys, priorities):
    self.calls.append((keys, priorities))


class State(NamedTuple):
  network: snt.Module
  target: snt.Module
  optimizer: snt.Optimizer
  steps: tf.Variable


def init(seed):
  network = variables.create(make_network, X, seed=seed)
  target = variables.make_target(make_network, network, X)
  optimizer = learning.adam(1e-2, network.trainable_variables)
  return State(network, target, optimizer, tf.Variable(0, dtype=tf.int64))


def update(state, sample):
  network, target, optimizer, steps = state
  weights = learning.importance_weights(sample.probabilities, 0.5)
  with tf.GradientTape() as tape:
    error = sample.data.reward - network(sample.data.observation)[:, 0]
    loss = tf.reduce_mean(weights * error**2)
  gradients = tape.gradient(loss, network.trainable_variables)
  norm = learning.apply_gradients(optimizer, gradients, network.trainable_variables, max_norm=40.0)
  steps.assign_add(1)
  variables.periodic_copy(steps, 3, network.variables, target.variables)
  return tf.abs(error), {"loss": loss, "norm": norm}


def make_program(**changes):
  parts = {
    "init": init, "update": update, "params": lambda state: state.network,
    "make_params": lambda: variables.create(make_network, X),
    "variables": lambda state: {"policy": state.network, "target": state.target},
    "behaviour": None, "evaluation": None, "space": None,
  }  # fmt: skip
  return program.Program(**{**parts, **changes})


def make_learner(dataset, num_sgd_steps=1, agent=None, log_seconds=1.0, **inputs):
  return learning.Learner(
    make_program() if agent is None else agent,
    builders.LearnerInputs(dataset=dataset, **inputs),
    num_sgd_steps=num_sgd_steps,
    log_seconds=log_seconds,
  )


def assert_same(a, b):
  tf.nest.map_structure(np.testing.assert_array_equal, a, b)


def take(learner, num_steps):
  for _ in range(num_steps):
    learner.step()


def test_import_costs_nothing():
  code = "import sys, acme_tf; sys.exit('tensorflow' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_creating_depends_on_the_seed_alone():
  a = variables.values(variables.create(make_network, X, seed=1).variables)
  tf.random.uniform(())
  b = variables.values(variables.create(make_network, X, seed=1).variables)
  c = variables.values(variables.create(make_network, X, seed=2**40 + 2).variables)
  assert_same(a, b)
  assert not np.array_equal(a["value/w"], c["value/w"])
  with pytest.raises(TypeError, match="a function that makes a network"):
    variables.create(make_network(), X)
  network = make_network()
  with pytest.raises(TypeError, match="a new one each time"):
    variables.create(lambda: network, X)


def test_names_are_unique():
  twins = snt.Sequential([snt.Linear(3), snt.Linear(3)])
  twins(X)
  assert list(variables.named(twins.variables)) == ["linear/b", "linear/w", "linear/b_1", "linear/w_1"]


def test_learning_lowers_the_loss_and_hands_priorities_back():
  replay, logger, counter = Replay(), loggers.InMemoryLogger(), counting.Counter()
  learner = make_learner(Dataset(8), replay=replay, logger=logger, counter=counter, log_seconds=0.0)
  before = learner.get_variables(["policy"])[0]
  take(learner, 100)
  rows = logger.rows if hasattr(logger, "rows") else logger.data
  assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
  assert rows[-1]["learner_steps"] == 100 == counter.get("learner_steps")
  assert len(replay.calls) == 100
  keys, priorities = replay.calls[0]
  assert keys.shape == priorities.shape == (8,) and priorities.dtype == np.float32
  assert not np.array_equal(before["value/w"], learner.get_variables(["policy"])[0]["value/w"])


def test_target_starts_equal_and_is_copied_every_third_step():
  learner = make_learner(Dataset(8))
  assert_same(*learner.get_variables(["policy", "target"]))
  for step in range(1, 7):
    learner.step()
    policy, target = learner.get_variables(["policy", "target"])
    assert np.array_equal(policy["value/w"], target["value/w"]) == (step % 3 == 0)


@pytest.mark.parametrize("num_sgd_steps", [1, 2])
def test_restoring_continues_bit_for_bit(num_sgd_steps):
  whole, dataset = make_learner(Dataset(8, 1.0), num_sgd_steps), Dataset(8)
  part = make_learner(dataset, num_sgd_steps)
  take(whole, 6)
  take(part, 2)
  state, position = part.save(), dataset.position
  other = make_learner(dataset, num_sgd_steps, seed=9)
  take(part, 1)  # What was saved must not change with it.
  dataset.position = position
  other.restore(state)
  take(other, 4)
  assert_same(whole.save(), other.save())
  assert_same(whole.get_variables(["policy"]), other.get_variables(["policy"]))


def test_two_steps_in_one_are_two_steps():
  both = Dataset(8)
  halves = []
  for _ in range(4):
    sample = next(both)
    halves += [
      tf.nest.map_structure(lambda x, part=part: x[part] if np.ndim(x) else x, sample)
      for part in (slice(4), slice(4, 8))
    ]
  replay = Replay()
  one, two = make_learner(iter(halves)), make_learner(Dataset(8), 2, replay=replay)
  take(one, 8)
  take(two, 4)
  assert replay.calls[0][1].shape == (8,)
  a, b = one.save(), two.save()
  assert a["steps"] == b["steps"] == 8
  tf.nest.map_structure(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7), a["state"], b["state"])


def test_nan_is_an_error_and_no_checkpoint():
  learner = make_learner(Dataset(8, np.nan))
  with pytest.raises(FloatingPointError, match="nan at SGD step 1"):
    learner.step()
  with pytest.raises(FloatingPointError):
    learner.save()


def test_unknown_names_and_foreign_states_are_errors():
  learner = make_learner(Dataset(8))
  with pytest.raises(KeyError, match="known: params, policy, target"):
    learner.get_variables(["critic"])
  state = learner.save()
  with pytest.raises(ValueError, match="expected network, target, optimizer, steps"):
    learner.restore({"steps": 0, "state": {"network": {}}})
  network = dict(state["state"]["network"])
  network["value/w"] = network["value/w"].T
  with pytest.raises(ValueError, match=r"'value/w' is float32\[1, 16\], expected float32\[16, 1\]"):
    learner.restore({"steps": 0, "state": {**state["state"], "network": network}})
  del network["value/w"]
  with pytest.raises(ValueError, match="'value/w' is missing"):
    learner.restore({"steps": 0, "state": {**state["state"], "network": network}})
  with pytest.raises(ValueError, match="arrays without names"):
    learner.restore({"steps": 0, "state": [np.zeros(3)]})


def test_a_state_that_does_not_fit_changes_nothing():
  learner, other = make_learner(Dataset(8)), make_learner(Dataset(8), seed=9)
  before, state = learner.save(), other.save()["state"]
  with pytest.raises(ValueError, match="'value/w'"):
    learner.restore({"steps": 0, "state": {**state, "target": {**state["target"], "value/w": np.zeros(2)}}})
  assert_same(before, learner.save())


def test_any_metric_that_is_not_finite_is_an_error():
  metrics = {"loss": tf.constant(0.0), "policy_loss": tf.constant(np.inf)}
  learner = make_learner(Dataset(8), agent=make_program(update=lambda state, sample: (None, metrics)))
  with pytest.raises(FloatingPointError, match="nan at SGD step 1"):
    learner.step()


def test_actors_get_the_params_and_the_same_object_until_the_next_step():
  learner = make_learner(Dataset(8))
  (params,) = learner.get_variables([program.PARAMS])
  assert learner.get_variables([program.PARAMS])[0] is params
  assert_same(params, learner.get_variables(["policy"])[0])
  learner.step()
  assert learner.get_variables([program.PARAMS])[0] is not params


def test_float64_is_learned_from_as_float32():
  def double(sample):
    return tf.nest.map_structure(lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, sample.data)

  plain, doubled = make_learner(Dataset(8)), make_learner(s._replace(data=double(s)) for s in Dataset(8))
  take(plain, 3)
  take(doubled, 3)
  assert_same(plain.save(), doubled.save())


def test_variables_of_a_nest():
  a, b, steps = snt.Linear(1), snt.Linear(1), tf.Variable(0)
  a(X), b(X)
  found = variables.of({"nets": (a, None), "other": [b], "steps": steps})
  assert [id(v) for v in found] == [id(v) for v in (*a.variables, *b.variables, steps)]


class Core(NamedTuple):
  hidden: Any
  cell: Any


def test_specs_of_extras_and_core_are_those_of_the_policy():
  def act(network, seed, step, core):
    value = network(step.observation)
    draw = tf.random.stateless_uniform((value.shape[0], 2), seed)
    return program.Acted(tf.zeros(value.shape[0], tf.int64), {"value": value, "draw": draw, "a": step.action}, core)

  def initial(network, num_envs):
    return Core(tf.zeros((num_envs, 5)), tf.zeros((num_envs, 2, 3), tf.int32))

  scalar = specs.Array((), np.float64)
  spec = specs.EnvironmentSpec(specs.Array((3,), np.float64), specs.DiscreteArray(4, np.int64), scalar, scalar)
  agent = make_program(behaviour=program.Policy(act=act, initial=initial, random=True))
  sequences = experience.Sequences(length=4, period=2, stored_state=True)
  made = builder.ProgramBuilder(None, sequences, lambda spec: agent)
  extras = made.extras_spec(spec, made.make_program(spec))
  assert {name: (leaf.shape, leaf.dtype) for name, leaf in extras.items()} == {
    "value": ((1,), np.float32), "draw": ((2,), np.float32), "a": ((), np.int64)
  }  # fmt: skip
  core_spec = made.make_experience(spec, agent).core_spec
  assert [(leaf.shape, leaf.dtype) for leaf in core_spec] == [((5,), np.float32), ((2, 3), np.int32)]
  without = builder.ProgramBuilder(None, sequences, lambda spec: make_program())
  assert without.extras_spec(spec, make_program()) == () == without.make_experience(spec, make_program()).core_spec


def test_gradients_are_clipped_together():
  parameters = [tf.Variable([0.0, 0.0]), tf.Variable(0.0)]
  gradients = [tf.constant([3.0, 0.0]), tf.constant(4.0)]
  norm = learning.apply_gradients(snt.optimizers.SGD(1.0), gradients, parameters, max_norm=1.0)
  assert norm == 5
  np.testing.assert_allclose(parameters[0], [-0.6, 0], rtol=1e-6)
  np.testing.assert_allclose(parameters[1], -0.8, rtol=1e-6)


def test_importance_weights_by_hand():
  np.testing.assert_allclose(learning.importance_weights(tf.constant([0.1, 0.4]), 0.5), [1, 0.5])


def test_trfl_can_be_imported_beside():
  trfl = pytest.importorskip("trfl", reason='needs pip install "acme-tf[trfl]"')

  loss = trfl.td_learning(tf.constant([0.0]), tf.constant([1.0]), tf.constant([0.5]), tf.constant([2.0])).loss
  np.testing.assert_allclose(loss, [2.0])


@pytest.mark.parametrize(("rate", "expected"), [(1.0, [0, 2, 2, 4]), (0.25, [0, 0.5, 0.5, 1.375])])
def test_targets_are_copied_or_moved_every_other_step(rate, expected):
  online, target, steps = tf.Variable(0.0), tf.Variable(0.0), tf.Variable(0, dtype=tf.int64)

  @tf.function
  def step():
    online.assign_add(1)
    steps.assign_add(1)
    variables.periodic_copy(steps, 2, [online], [target], rate)
    return target.read_value()

  np.testing.assert_allclose([step().numpy() for _ in range(4)], expected)
