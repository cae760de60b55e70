"""IMPALA's loss by hand, against the reference numbers of golden/ (see its README), rlax, and a loop in float64."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from acme_impala.jax import losses
from acme_jax import returns

RNG = np.random.default_rng(0)
L = 9


def random_sequence():
  """Log π, entropy, values, rewards, discounts, log μ, acted; an episode ends before the middle, one is cut short."""
  log_pi, values, r, log_mu = RNG.normal(size=(4, L)).astype(np.float32)
  acted, discount = np.ones(L, np.float32), np.full(L, 0.9, np.float32)
  acted[[3, 6]], discount[2] = 0, 0
  return log_pi, np.abs(values), values, r, discount, log_mu, acted


def vtrace(values, reward, discount, log_pi, log_mu, acted):
  """Targets and advantages [L − 1] in float64, by the sum of 1802.01561, eq. 1, with ρ̄ = c̄ = 1.

    v_s = V_s + Σ_{t ≥ s} (Π_{s ≤ i < t} d_i c_i) ρ_t (r_t + d_t V_{t+1} − V_t)

  up to the last step of the episode: none after one that was not acted at.
  """
  values, reward, discount = (np.asarray(x, np.float64) for x in (values, reward, discount))
  rho = np.minimum(1, np.exp(np.asarray(log_pi, np.float64) - log_mu))
  last = len(values) - 1
  targets, advantages = values[:-1].copy(), np.zeros(last)

  def target(s):
    total, product, t = values[s], 1.0, s
    while t < last and acted[t]:
      total += product * rho[t] * (reward[t] + discount[t] * values[t + 1] - values[t])
      product *= discount[t] * rho[t]
      t += 1
    return total

  for s in range(last):
    if acted[s]:
      targets[s] = target(s)
      advantages[s] = rho[s] * (reward[s] + discount[s] * target(s + 1) - values[s])
  return targets, advantages


@pytest.mark.parametrize(
  ("d", "acted", "target", "advantage"),
  [
    ([1, 1, 1], [1, 1, 1], [1 + 1 + 7, 1 + 7], [9 - 4, 8 - 5]),  # bootstraps from the last value, 7
    ([1, 0, 1], [1, 1, 1], [1 + 1, 1], [2 - 4, 1 - 5]),  # terminates
    ([1, 1, 1], [1, 0, 1], [1 + 5, 5], [6 - 4, 0]),  # is cut short: bootstraps from the final observation's value, 5
    ([1, 1, 1], [0, 1, 1], [4, 1 + 7], [0, 8 - 5]),  # begins with an episode's final observation
  ],
)
def test_by_hand(d, acted, target, advantage):
  log_pi, entropy, r = np.float32([-0.5, -1, 0]), np.float32([0.6, 0.7, 9]), np.ones(3, np.float32)
  values = np.float32([4, 5, 7])
  d, acted = np.float32(d), np.float32(acted)
  result = losses.actor_critic(log_pi, entropy, values, r, d, log_pi, acted)
  np.testing.assert_allclose(result.policy, -np.dot(advantage, log_pi[:2]), rtol=1e-6)
  np.testing.assert_allclose(result.baseline, np.sum((np.array(target) - values[:2]) ** 2), rtol=1e-6)
  np.testing.assert_allclose(result.entropy, entropy[:2] @ acted[:2], rtol=1e-6)


@pytest.mark.parametrize("ratio", [0.0, 0.5, -0.5])
def test_off_policy_by_hand(ratio):
  """One step: target 4 + ρ (1 + 7 − 4), where ρ is at most 1."""
  rho = min(1, np.exp(ratio))
  log_mu, ones = np.float32([-1, 0]), np.ones(2, np.float32)
  result = losses.actor_critic(log_mu + ratio, ones, np.float32([4, 7]), ones, ones, log_mu, ones)
  np.testing.assert_allclose(result.baseline, (rho * 4) ** 2, rtol=1e-6)
  np.testing.assert_allclose(result.policy, -rho * 4 * (ratio - 1), rtol=1e-6)


@pytest.mark.parametrize("config", ["plain", "full"])
def test_against_golden(config):
  """The whole loss and its gradients, costs and clipped rewards included."""
  g = np.load(pathlib.Path(__file__).parent / "golden" / "impala.npz", allow_pickle=False)
  c = {key.removeprefix(f"{config}."): g[key] for key in g}
  reward = np.clip(g["reward"], -c["max_abs_reward"], c["max_abs_reward"])
  chosen = jax.nn.one_hot(g["action"], g["logits"].shape[-1])

  def loss(logits, values):
    log_probs = jax.nn.log_softmax(logits)
    log_pi, log_mu = (jnp.sum(chosen * x, -1) for x in (log_probs, jax.nn.log_softmax(g["behaviour_logits"])))
    entropy, discount = -jnp.sum(jnp.exp(log_probs) * log_probs, -1), c["gamma"] * g["discount"]
    each = jax.vmap(losses.actor_critic)(log_pi, entropy, values, reward, discount, log_mu, jnp.ones_like(values))
    policy, baseline, entropy = (jnp.sum(part) / values[:, 1:].size for part in each)
    return policy + c["baseline_cost"] * baseline - c["entropy_cost"] * entropy

  total, gradients = jax.value_and_grad(loss, argnums=(0, 1))(jnp.float32(g["logits"]), jnp.float32(g["values"]))
  np.testing.assert_allclose(total, c["loss_total"], rtol=1e-5)
  for ours, name in zip(gradients, ("grad_logits", "grad_values"), strict=True):
    np.testing.assert_allclose(ours, c[name], rtol=1e-5, atol=1e-5 * np.abs(c[name]).max())


def test_against_rlax_and_the_sums_of_the_paper():
  log_pi, _, values, r, discount, log_mu, acted = random_sequence()
  trace = returns.vtrace(values[:-1], values[1:], r[:-1], discount[:-1], log_pi[:-1], log_mu[:-1], acted[:-1])
  targets, advantages = vtrace(values, r, discount, log_pi, log_mu, acted)
  np.testing.assert_allclose(trace.targets, targets, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(trace.advantages, advantages, rtol=1e-5, atol=1e-5)
  whole = slice(0, 3)  # The first episode alone, which rlax can take as it is.
  rho = np.exp(log_pi - log_mu)[whole]
  theirs = rlax.vtrace_td_error_and_advantage(values[whole], values[1:4], r[whole], discount[whole], rho)
  np.testing.assert_allclose(trace.targets[whole] - values[whole], theirs.errors, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(trace.advantages[whole], theirs.pg_advantage, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_nan", [False, True])
def test_what_is_masked_changes_nothing(with_nan):
  given = random_sequence()
  masked = given[-1] == 0
  masked[-1] = True  # The last step only supplies a value.

  def loss(log_pi, entropy, values, *rest):
    each = losses.actor_critic(log_pi, entropy, values, *rest, given[-1])
    return sum(each), each

  evaluate = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
  inputs = given[:-1]
  (_, expected), gradients = evaluate(*inputs)
  changed = [
    np.where(masked, np.nan if with_nan else 1e3 * RNG.normal(size=L), x).astype(np.float32) if i != 2 else x
    for i, x in enumerate(inputs)
  ]
  (_, result), other = evaluate(*changed)
  jax.tree.map(np.testing.assert_array_equal, (result, other), (expected, gradients))
  assert not np.any(np.asarray(gradients)[:, masked])  # Nothing is learned there: no policy, no value, no entropy.
  assert np.all(np.asarray(gradients)[0][~masked] != 0)


def test_targets_are_constants():
  """The value's gradient is that of the squared error alone."""
  log_pi, entropy, values, *rest = random_sequence()
  gradient = jax.grad(lambda v: sum(losses.actor_critic(log_pi, entropy, v, *rest)))(values)
  targets, _ = vtrace(values, rest[0], rest[1], log_pi, rest[2], rest[3])
  np.testing.assert_allclose(gradient[:-1], 2 * (values[:-1] - targets), rtol=1e-4, atol=1e-4)
  assert gradient[-1] == 0


def test_batches_without_vmap_are_refused():
  with pytest.raises(AssertionError):
    losses.actor_critic(*(jnp.zeros((2, L)) for _ in range(7)))
