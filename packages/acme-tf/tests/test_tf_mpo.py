"""MPO's policy improvement, and Retrace, against the reference numbers in acme-jax's tests (see their README)."""

import dataclasses
import pathlib

import numpy as np
import pytest

pytest.importorskip("sonnet")

import tensorflow as tf

from acme import specs
from acme_testing import fakes
from acme_tf import mpo, networks, returns

GOLDEN = pathlib.Path(__file__).parents[2] / "acme-jax" / "tests" / "golden"
SETTINGS = mpo.Settings(
  num_samples=6, epsilon=0.1, epsilon_mean=2.5e-3, epsilon_stddev=1e-6, epsilon_policy=1e-2, epsilon_penalty=1e-3,
  per_dimension=True, initial_log_temperature=10.0, initial_log_alpha_mean=10.0, initial_log_alpha_stddev=1000.0,
  initial_stddev=0.7, min_stddev=1e-6,
)  # fmt: skip


def load(name):
  values = np.load(GOLDEN / f"{name}.npz", allow_pickle=False)
  return {key: tf.constant(value, tf.float32) for key, value in values.items() if value.dtype == np.float64}


def close(actual, expected, tolerance=1e-5):
  np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("per_dimension", [True, False])
@pytest.mark.parametrize("penalty", [True, False])
def test_gaussian_loss_against_golden(per_dimension, penalty):
  g = load("mpo")
  shapes = "perdim_on." if per_dimension else "perdim_off."
  expected = {k.removeprefix(f"{shapes}penalty_{'on' if penalty else 'off'}."): v for k, v in g.items()}
  settings = dataclasses.replace(SETTINGS, epsilon_penalty=1e-3 if penalty else None)
  duals = {name: g[f"{shapes}log_{name}"] for name in ("alpha_mean", "alpha_stddev")}
  duals |= {"temperature": g["log_temperature"][0]}
  if penalty:
    duals["penalty_temperature"] = g["log_penalty_temperature"][0]
  online, target = (networks.Gaussian(g[f"{x}_mean"], g[f"{x}_stddev"]) for x in ("online", "target"))
  with tf.GradientTape() as tape:
    tape.watch((duals, online))
    loss = mpo.gaussian_loss(duals, online, target, g["actions"], g["q_values"], settings)
    total = tf.reduce_mean(loss.total)
  gradients, policy = tape.gradient(total, (duals, online))
  close(total, expected["loss_total"])
  close(loss.metrics["kl_weights"], expected["nonparametric_kl"])
  close(policy.loc, expected["grad_online_mean"])
  close(policy.scale, expected["grad_online_stddev"])
  for name, gradient in gradients.items():
    close(np.atleast_1d(gradient), expected[f"grad_log_{name}"], 2e-5)


def test_categorical_loss_against_golden():
  g = load("mpo_categorical")
  duals = {"temperature": g["log_temperature"][0], "alpha_policy": g["log_alpha"][0]}
  logits, target = g["online_logits"], networks.Categorical(g["target_logits"])
  with tf.GradientTape() as tape:
    tape.watch((duals, logits))
    loss = mpo.categorical_loss(duals, networks.Categorical(logits), target, g["q_values"], SETTINGS)
    total = tf.reduce_mean(loss.total)
  gradients, of_logits = tape.gradient(total, (duals, logits))
  close(total, g["loss_total"])
  close(loss.metrics["kl_policy"], g["kl"])
  close(of_logits, g["grad_online_logits"])
  close(gradients["alpha_policy"], g["grad_log_alpha"][0])
  close(gradients["temperature"], g["grad_log_temperature"][0], 2e-5)


def test_duals_have_a_floor():
  g = load("mpo")
  duals = {"x": tf.Variable(g["floor_log_dual"])}
  mpo.put_floor(duals)
  np.testing.assert_array_equal(duals["x"], g["floor_log_dual_after_clip"])
  np.testing.assert_allclose(mpo.positive(duals)["x"], g["floor_dual_value"], rtol=1e-5)


def test_retrace_against_golden():
  g = load("retrace")
  g = {key.removeprefix("continuous."): tf.transpose(x) for key, x in g.items() if key.startswith("continuous.")}
  inputs = (g["reward"][:-1], float(load("retrace").get("continuous.gamma", 0.99)) * g["discount"][:-1])
  given = returns.retrace(
    g["action_value"][1:-1], g["state_value"][1:], *inputs, g["target_log_prob"][1:-1], g["behaviour_log_prob"][1:-1],
    tf.ones((6, 6)), 0.95,
  )  # fmt: skip
  close(given, g["target"], 2e-5)


def test_returns_end_where_nothing_was_done():
  """What was stored there does not matter, and the value there is bootstrapped from."""
  zeros, ones = tf.zeros((2, 1)), tf.ones((3, 1))
  acted = tf.constant([[1.0], [0.0]])
  given = returns.retrace(zeros, 5 * ones, ones, 0.5 * ones, zeros, zeros - 1e3 * (1 - acted), acted)
  close(given[1], [1 + 0.5 * 5])
  close(given[0], [1 + 0.5 * (5 + 3.5 - 0)])


@pytest.mark.parametrize("actions", ["continuous", "discrete", "mixed"])
def test_networks(actions):
  spec = fakes.make_spec("vector", actions)
  config = dataclasses.make_dataclass("Config", [(f.name, float) for f in dataclasses.fields(mpo.Settings)])
  kind = mpo.make_kind(spec, "MPO", config(**dataclasses.asdict(SETTINGS)))
  policy, critic = mpo.make_networks(spec, kind, 4, (8,), (8,))
  mpo.check_networks((policy, critic), spec, kind, 4)
  with pytest.raises(TypeError, match="a pair of functions that make Sonnet modules"):
    mpo.check_networks(policy, spec, kind, 4)
  with pytest.raises(ValueError, match=r"outputs \[K\] for each action"):
    mpo.check_networks((policy, critic), spec, kind, 5)
  with pytest.raises(ValueError, match=r"expected a policy that gives an acme_tf.networks.*\(2, \d\)"):
    mpo.check_networks((lambda: networks.MLP((4,)), critic), spec, kind, 4)


def test_several_discrete_actions_are_refused():
  spec = fakes.make_spec()._replace(actions={"a": specs.DiscreteArray(2), "b": specs.DiscreteArray(3)})
  with pytest.raises(ValueError, match="MPO takes one discrete action, or a nest with continuous ones"):
    mpo.make_kind(spec, "MPO", SETTINGS)


def test_mixed_candidates_are_samples_of_the_policy():
  """Choices come as often as they are probable; what is executed is what was valued."""
  config = dataclasses.make_dataclass("Config", [(f.name, float) for f in dataclasses.fields(mpo.Settings)])
  settings = dataclasses.replace(SETTINGS, num_samples=3000)
  kind = mpo.make_kind(fakes.make_spec("vector", "mixed"), "MPO", config(**dataclasses.asdict(settings)))
  logits = tf.constant([[0.0, 1.0, -1.0]]), tf.constant([[0.5, -0.5]])
  policy = networks.Mixed(
    networks.Gaussian(tf.zeros((1, 2)), tf.ones((1, 2))), tuple(map(networks.Categorical, logits))
  )
  candidates = kind.candidates(policy, kind.draw(tf.constant([1, 2], tf.int64), 1))
  numbers, *choices = policy.parts(candidates.action)
  np.testing.assert_allclose(tf.reduce_mean(numbers, axis=(0, 1)), [0, 0], atol=0.06)
  for part, x in zip(choices, logits, strict=True):
    np.testing.assert_allclose(tf.reduce_mean(part, axis=(0, 1)), tf.nn.softmax(x)[0], atol=0.03)
  vector = kind.bounded(candidates.action[:, 0])  # [N, V]
  nest = kind.space.to_environment(vector)
  np.testing.assert_allclose(kind.stored(nest), vector, atol=1e-6)
  expected = [tf.gather(tf.nn.log_softmax(x)[0], nest[name]) for name, x in zip(("gear", "horn"), logits, strict=True)]
  close(policy.log_prob(vector), tf.add_n([policy.gaussian.log_prob(vector[:, :2]), *expected]))
  assert (
    kind.space.to_host(kind.space.to_environment(kind.sample(policy, tf.constant([3, 4]))))["horn"].dtype == np.int64
  )
