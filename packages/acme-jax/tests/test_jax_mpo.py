"""MPO's policy improvement against the reference numbers of golden/ (see its README), rlax, and float64 NumPy."""

import dataclasses
import pathlib

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from scipy.special import logsumexp, softmax

from acme import specs
from acme_jax import distributions, mpo
from acme_testing import fakes

SETTINGS = mpo.Settings(
  num_samples=6, epsilon=0.1, epsilon_mean=2.5e-3, epsilon_stddev=1e-6, epsilon_policy=1e-2, epsilon_penalty=1e-3,
  per_dimension=True, initial_log_temperature=10.0, initial_log_alpha_mean=10.0, initial_log_alpha_stddev=1000.0,
  initial_stddev=0.7, min_stddev=1e-6,
)  # fmt: skip
N, D = 5, 2


def load(name):
  values = np.load(pathlib.Path(__file__).parent / "golden" / f"{name}.npz", allow_pickle=False)
  return {key: np.asarray(value, np.float32) for key, value in values.items()}


def close(actual, expected, tolerance=1e-5):
  np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("per_dimension", [True, False])
@pytest.mark.parametrize("penalty", [True, False])
def test_gaussian_loss_against_golden(per_dimension, penalty):
  g = load("mpo")
  shapes = "perdim_on." if per_dimension else "perdim_off."
  expected = {k.removeprefix(f"{shapes}penalty_{'on' if penalty else 'off'}."): v for k, v in g.items()}
  settings = dataclasses.replace(SETTINGS, epsilon_penalty=1e-3 if penalty else None)
  duals = {"temperature": g["log_temperature"][0]}
  duals |= {name: g[f"{shapes}log_{name}"] for name in ("alpha_mean", "alpha_stddev")}
  if penalty:
    duals["penalty_temperature"] = g["log_penalty_temperature"][0]
  target = distributions.DiagonalGaussian(g["target_mean"], g["target_stddev"])

  def loss(duals, mean, stddev):
    per_state = jax.vmap(mpo.gaussian_loss, in_axes=(None, 0, 0, 1, 1, None))(
      duals, distributions.DiagonalGaussian(mean, stddev), target, g["actions"], g["q_values"], settings
    )
    return jnp.mean(per_state.total), per_state.metrics

  inputs = duals, g["online_mean"], g["online_stddev"]
  (total, metrics), gradients = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(*inputs)
  close(total, expected["loss_total"])
  close(metrics["kl_weights"], expected["nonparametric_kl"])
  for name in ("mean", "stddev"):
    kl = expected[f"kl_{name}"]
    close(metrics[f"kl_{name}"], np.sum(kl, axis=-1) if per_dimension else kl)
  if penalty:
    close(metrics["kl_penalty"], expected["nonparametric_kl_penalty"])
    close(metrics["out_of_bounds"], -np.mean(expected["action_penalty_cost"], axis=0))
  close(gradients[1], expected["grad_online_mean"])
  close(gradients[2], expected["grad_online_stddev"])
  for name, gradient in gradients[0].items():
    close(np.atleast_1d(gradient), expected[f"grad_log_{name}"], 2e-5)


def test_e_step_against_golden_and_rlax():
  g = load("mpo")
  uniform = np.full_like(g["q_values"], -np.log(6))
  eta = mpo.positive({"": g["log_temperature"]})[""]
  weights, loss = jax.vmap(mpo.e_step, in_axes=(1, 1, None, None), out_axes=(1, 0))(g["q_values"], uniform, eta[0], 0.1)
  close(weights, g["perdim_on.penalty_off.weights"])
  close(jnp.mean(loss), g["perdim_on.penalty_off.loss_temperature"][0])
  constraint = rlax.LagrangePenalty(alpha=eta, epsilon=0.1, per_dimension=False)
  theirs = rlax.mpo_compute_weights_and_temperature_loss(g["q_values"], constraint, lambda x: x)
  close(jnp.mean(loss), jnp.mean(theirs[0]))
  close(weights, theirs[1])


def test_categorical_loss_against_golden():
  """The temperature's gradient is that of its own loss: the reference's leaks through the weights (see its README)."""
  g = load("mpo_categorical")
  target = distributions.Categorical(g["target_logits"])

  def loss(duals, logits):
    per_state = jax.vmap(mpo.categorical_loss, in_axes=(None, 0, 0, 1, None))(
      duals, distributions.Categorical(logits), target, g["q_values"], SETTINGS
    )
    return jnp.mean(per_state.total), per_state.metrics

  duals = {"temperature": g["log_temperature"][0], "alpha_policy": g["log_alpha"][0]}
  (total, metrics), (duals, logits) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(duals, g["online_logits"])
  close(total, g["loss_total"])
  close(metrics["kl_policy"], g["kl"])
  close(logits, g["grad_online_logits"])
  close(duals["alpha_policy"], g["grad_log_alpha"][0])
  close(duals["temperature"], g["grad_log_temperature"][0], 2e-5)
  assert abs(duals["temperature"] - g["grad_log_temperature_with_leak"][0]) > 1e-3


def test_duals_have_a_floor():
  g = load("mpo")
  duals = mpo.floored({"x": jnp.asarray(g["floor_log_dual"])})
  np.testing.assert_array_equal(duals["x"], g["floor_log_dual_after_clip"])
  np.testing.assert_allclose(mpo.positive(duals)["x"], g["floor_dual_value"], rtol=1e-5)


def log_normal(x, mean, stddev):
  return -np.sum(0.5 * ((x - mean) / stddev) ** 2 + np.log(stddev) + 0.5 * np.log(2 * np.pi), axis=-1)


def kl_normal(mean, stddev, other_mean, other_stddev):
  ratio = (stddev / other_stddev) ** 2
  return 0.5 * (ratio - 1 - np.log(ratio) + ((mean - other_mean) / other_stddev) ** 2)


def total_in_float64(raw, online, target, action, q, dual=None):
  """The loss in one state by the paper's formulas; `dual` are the multipliers where they are constants, to a policy."""
  multipliers = {name: np.logaddexp(0, value) + 1e-8 for name, value in raw.items()}
  constant = multipliers if dual is None else dual
  weights, total = 0, 0
  for name, value, epsilon in (
    ("temperature", q, 0.1),
    ("penalty_temperature", -np.linalg.norm(action - action.clip(-1, 1), axis=-1), 1e-3),
  ):
    weights = weights + softmax(value / constant[name])
    eta = multipliers[name]
    total += eta * epsilon + eta * (logsumexp(value / eta) - np.log(N))
  total -= weights @ (log_normal(action, online[0], target[1]) + log_normal(action, target[0], online[1]))
  kls = {"mean": kl_normal(*target, online[0], target[1]), "stddev": kl_normal(*target, target[0], online[1])}
  for name, epsilon in (("mean", 2.5e-3), ("stddev", 1e-6)):
    total += constant[f"alpha_{name}"] @ kls[name] + multipliers[f"alpha_{name}"] @ (epsilon - kls[name])
  return total


def test_gradients_of_the_duals_are_finite_differences_of_their_own_losses():
  """Weights and KLs are constants to the multipliers: what moves them is their own loss, in float64."""
  rng = np.random.default_rng(1)
  online, target = ((rng.normal(size=D), rng.uniform(0.5, 1.5, size=D)) for _ in range(2))
  action, q = rng.normal(size=(N, D)) * 1.5, rng.normal(size=N) * 3
  raw = {"temperature": np.array(0.3), "penalty_temperature": np.array(-1.0), "alpha_mean": rng.normal(size=D),
         "alpha_stddev": rng.normal(size=D) + 3}  # fmt: skip
  dual = {name: np.logaddexp(0, value) + 1e-8 for name, value in raw.items()}

  def ours(duals):
    policies = (distributions.DiagonalGaussian(*map(jnp.float32, each)) for each in (online, target))
    return mpo.gaussian_loss(duals, *policies, jnp.float32(action), jnp.float32(q), SETTINGS).total

  value, gradient = jax.value_and_grad(ours)({name: jnp.float32(x) for name, x in raw.items()})
  close(value, total_in_float64(raw, online, target, action, q))
  for name, x in raw.items():
    for index in np.ndindex(x.shape):
      step = np.zeros_like(x)
      step[index] = 1e-6
      up, down = (total_in_float64({**raw, name: x + s}, online, target, action, q, dual) for s in (step, -step))
      close(gradient[name][index], (up - down) / 2e-6, 2e-5)


def mixed_total_in_float64(raw, online, target, action, chosen, q, dual=None):
  """The same with G choices [N] and their log-probabilities [A]: weighed by the values of whole actions alone."""
  total = total_in_float64(raw, online[0], target[0], action, q, dual)
  multipliers = np.logaddexp(0, raw["alpha_policy"]) + 1e-8
  eta = np.logaddexp(0, raw["temperature"]) + 1e-8 if dual is None else dual["temperature"]
  weights = softmax(q / eta)
  for i, (choice, new, old) in enumerate(zip(chosen, online[1], target[1], strict=True)):
    kl = np.exp(old) @ (old - new)
    total += (multipliers if dual is None else dual["alpha_policy"])[i] * kl + multipliers[i] * (1e-2 - kl)
    total -= weights @ new[choice]
  return total


def test_mixed_loss_and_its_gradients_against_float64():
  """Weights are joint, each choice has a multiplier of its own, and all gradients are finite differences."""
  rng, sizes = np.random.default_rng(2), (3, 2)
  gaussians = [(rng.normal(size=D), rng.uniform(0.5, 1.5, size=D)) for _ in range(2)]
  logits = [[rng.normal(size=size) for size in sizes] for _ in range(2)]
  action, q = rng.normal(size=(N, D)) * 1.5, rng.normal(size=N) * 3
  chosen = [rng.integers(size, size=N) for size in sizes]
  vector = np.concatenate([action, *(np.eye(size)[x] for size, x in zip(sizes, chosen, strict=True))], axis=-1)
  raw = {"temperature": np.array(0.3), "penalty_temperature": np.array(-1.0), "alpha_mean": rng.normal(size=D),
         "alpha_stddev": rng.normal(size=D) + 3, "alpha_policy": np.array([0.5, -0.2])}  # fmt: skip
  dual = {name: np.logaddexp(0, value) + 1e-8 for name, value in raw.items()}

  def policy(gaussian, logits):
    categoricals = tuple(distributions.Categorical(jnp.float32(x)) for x in logits)
    return distributions.Mixed(distributions.DiagonalGaussian(*map(jnp.float32, gaussian)), categoricals)

  def ours(duals, logits_online):
    online, target = policy(gaussians[0], logits_online), policy(gaussians[1], logits[1])
    return mpo.mixed_loss(duals, online, target, jnp.float32(vector), jnp.float32(q), SETTINGS).total

  def theirs(raw, logits_online, dual=None):
    online, target = (
      (g, [x - logsumexp(x) for x in l]) for g, l in zip(gaussians, (logits_online, logits[1]), strict=True)
    )
    return mixed_total_in_float64(raw, online, target, action, chosen, q, dual)

  duals = {name: jnp.float32(x) for name, x in raw.items()}
  value, (of_duals, of_logits) = jax.value_and_grad(ours, argnums=(0, 1))(duals, [jnp.float32(x) for x in logits[0]])
  close(value, theirs(raw, logits[0]))
  for name, x in raw.items():
    for index in np.ndindex(x.shape):
      step = np.zeros_like(x)
      step[index] = 1e-6
      up, down = (theirs({**raw, name: x + s}, logits[0], dual) for s in (step, -step))
      close(of_duals[name][index], (up - down) / 2e-6, 3e-5)

  def of_policy(logits_online):  # In the total above, where multipliers are no constants, KLs cancel out.
    new, old = ([x - logsumexp(x) for x in each] for each in (logits_online, logits[1]))
    kls = [np.exp(p) @ (p - q) for p, q in zip(old, new, strict=True)]
    return theirs(raw, logits_online) + dual["alpha_policy"] @ kls

  for i, x in enumerate(logits[0]):
    for step in 1e-6 * np.eye(len(x)):
      up, down = (of_policy([y + s if k == i else y for k, y in enumerate(logits[0])]) for s in (step, -step))
      close(of_logits[i][np.argmax(step)], (up - down) / 2e-6, 3e-5)


def test_the_temperature_reaches_the_bound():
  """At the minimum of its loss the weights lie ε from the samples, in the mean over states."""
  q = jnp.asarray(np.random.default_rng(0).normal(size=(20, 30)) * 10, jnp.float32)
  uniform = jnp.full_like(q, -jnp.log(20))
  e_step = jax.vmap(mpo.e_step, in_axes=(1, 1, None, None), out_axes=(1, 0))
  slope = jax.jit(jax.grad(lambda raw: jnp.mean(e_step(q, uniform, mpo.positive({"": raw})[""], 0.1)[1])))
  low, high = -10.0, 200.0
  for _ in range(40):  # The loss is convex in η.
    middle = (low + high) / 2
    low, high = (middle, high) if slope(middle) < 0 else (low, middle)
  weights, _ = e_step(q, uniform, mpo.positive({"": jnp.float32(low)})[""], 0.1)
  close(jnp.mean(jnp.sum(weights * jnp.log(20 * weights), axis=0)), 0.1, 1e-3)


def test_saturated_weights_stay_finite():
  q = jnp.asarray([500.0, -500.0, 0.0])
  loss = mpo.categorical_loss(
    {"temperature": jnp.float32(-18), "alpha_policy": jnp.float32(0)},
    *2 * (distributions.Categorical(jnp.zeros(3)),), q, SETTINGS,
  )  # fmt: skip
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(loss))
  close(loss.metrics["kl_weights"], np.log(3))


def kinds():
  config = dataclasses.make_dataclass("Config", [(f.name, float) for f in dataclasses.fields(mpo.Settings)])(
    **dataclasses.asdict(SETTINGS)
  )
  return {
    name: mpo.make_kind(fakes.make_spec("vector", name), "MPO", config) for name in ("continuous", "discrete", "mixed")
  }


def test_expectations_over_candidates():
  """Of samples their mean; of a discrete policy exact."""
  kind = kinds()
  policy = distributions.DiagonalGaussian(jnp.zeros((3, 2)), jnp.ones((3, 2)))
  noise = kind["continuous"].draw(jax.random.PRNGKey(0), 3)
  candidates = kind["continuous"].candidates(policy, noise)
  close(candidates.mean(candidates.action), jnp.mean(candidates.action, axis=0))
  categorical = distributions.Categorical(jnp.asarray([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]))
  assert kind["discrete"].draw(jax.random.PRNGKey(0), 2) == ()
  candidates = kind["discrete"].candidates(categorical, ())
  q = jnp.asarray([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]])  # [A, M]
  close(candidates.mean(q), jnp.sum(jax.nn.softmax(categorical.logits) * q.T, axis=-1))


def test_mixed_candidates_are_samples_of_the_policy():
  """Choices come as often as they are probable; what is executed is what was valued."""
  kind = kinds()["mixed"]
  head = distributions.DiagonalGaussian(jnp.zeros((1, 2)), jnp.ones((1, 2)))
  logits = jnp.asarray([[0.0, 1.0, -1.0]]), jnp.asarray([[0.5, -0.5]])
  policy = distributions.Mixed(head, tuple(map(distributions.Categorical, logits)))
  several = jax.vmap(lambda key: kind.candidates(policy, kind.draw(key, 1)))(
    jax.random.split(jax.random.PRNGKey(0), 500)
  )
  parts = policy.parts(np.reshape(several.action, (-1, 7)))
  np.testing.assert_allclose(np.mean(parts[0], axis=0), [0, 0], atol=0.06)
  for part, x in zip(parts[1:], logits, strict=True):
    np.testing.assert_allclose(np.mean(part, axis=0), softmax(x[0]), atol=0.03)
  vector = kind.bounded(several.action[0, :, 0])  # [N, V]
  nest = kind.space.to_environment(vector)
  assert [leaf.dtype for leaf in nest.values()] == [np.float32, np.int32, np.int32]
  np.testing.assert_allclose(kind.stored(nest), vector, atol=1e-6)
  expected = head.log_prob(vector[:, :2]) + jax.nn.log_softmax(logits[0])[0, nest["gear"]]
  close(policy.log_prob(vector), expected + jax.nn.log_softmax(logits[1])[0, nest["horn"]])
  mode = kind.space.to_environment(policy.mode())
  assert (int(mode["gear"][0]), int(mode["horn"][0])) == (1, 0)
  assert kind.space.to_host(mode)["horn"].dtype == np.int64


def test_critics_value_candidates_as_they_are_executed():
  kind, critic = kinds()["continuous"], lambda o, a: o + a
  policy = distributions.DiagonalGaussian(jnp.full((3, 2), 5.0), jnp.ones((3, 2)))
  candidates = kind.candidates(policy, jnp.zeros((6, 3, 2)))
  close(kind.values(critic, jnp.zeros((3, 2)), candidates), np.ones((6, 3, 2)))
  kind, critic = kinds()["discrete"], lambda o: o[:, :, None] * jnp.arange(1, 3)
  values = jnp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
  candidates = kind.candidates(distributions.Categorical(values), ())
  close(kind.values(critic, values, candidates)[..., 1], 2 * values.T)
  close(kind.value(critic, values, jnp.asarray([2, 0])), [[3, 6], [4, 8]])


@pytest.mark.parametrize("actions", ["continuous", "discrete", "mixed"])
def test_networks(actions):
  spec, kind = fakes.make_spec("vector", actions), kinds()[actions]
  policy, critic = mpo.make_networks(spec, kind, 4, (8,), (8,))
  mpo.check_networks((policy, critic), spec, kind, 4)
  with pytest.raises(TypeError, match="a pair of haiku.Transformed"):
    mpo.check_networks(policy, spec, kind, 4)
  with pytest.raises(ValueError, match=r"outputs \[K\] for each action"):
    mpo.check_networks((policy, critic), spec, kind, 5)
  with pytest.raises(ValueError, match=r"expected a policy that gives an acme_jax.distributions.*\(2, \d\)"):
    mpo.check_networks((hk.transform(lambda o: o), critic), spec, kind, 4)


@pytest.mark.parametrize(
  ("actions", "message"),
  [
    ({"a": specs.DiscreteArray(2), "b": specs.DiscreteArray(3)}, "MPO takes one discrete action, or a nest with"),
    ({"a": specs.DiscreteArray(2), "b": specs.Array((), float)}, "Expected finite bounds on every action"),
    ({"a": specs.DiscreteArray(2), "b": specs.BoundedArray((), int, 0, 2)}, "MPO takes either, and both in a nest"),
  ],
)
def test_nests_of_actions_that_are_refused(actions, message):
  with pytest.raises(ValueError, match=message):
    mpo.make_kind(fakes.make_spec()._replace(actions=actions), "MPO", SETTINGS)
