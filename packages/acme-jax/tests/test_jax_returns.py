"""Returns against the reference numbers of golden/ (see its README), loops in float64, and one episode at a time."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from acme_jax import returns

RNG = np.random.default_rng(0)


def load(name):
  values = np.load(pathlib.Path(__file__).parent / "golden" / f"{name}.npz", allow_pickle=False)
  return {key: jnp.asarray(value, jnp.float32 if value.dtype == np.float64 else None) for key, value in values.items()}


def close(actual, expected, tolerance=1e-5):
  np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def test_n_step_against_golden():
  g = load("r2d2")
  discount, v = g["gamma"] * g["discount_after_burn_in"][:-1], g["bootstrap_value_untransformed"]  # [T, B]
  n_step = jax.vmap(returns.n_step, in_axes=(1, 1, 1, 1, None), out_axes=1)
  g_t = n_step(g["reward_after_burn_in"][:-1], discount, v, jnp.ones_like(v), 5)
  close(g_t, g["n_step_return_untransformed"])
  for n, key in [(5, "td_error"), (1, "td_error_n1"), (3, "td_error_n3"), (20, "td_error_n20")]:
    g_t = n_step(g["reward_after_burn_in"][:-1], discount, v, jnp.ones_like(v, bool), n)
    q = jnp.take_along_axis(g["online_q"], g["action_after_burn_in"][..., None], axis=-1)[:-1, :, 0]
    close(returns.signed_hyperbolic(g_t) - q, g[key], 1e-4)


def test_transform_against_golden():
  g = load("r2d2")
  close(returns.signed_hyperbolic(g["tx_input"]), g["tx_signed_hyperbolic"])
  close(returns.signed_parabolic(g["tx_input"]), g["tx_signed_parabolic"])


def test_transform_and_its_inverse_keep_float32_digits():
  x = jnp.asarray(np.r_[-np.logspace(-3, 5, 30), 0, np.logspace(-3, 5, 30)], jnp.float32)
  back = returns.signed_parabolic(returns.signed_hyperbolic(x))
  np.testing.assert_allclose(back, x, rtol=2e-6, atol=1e-6)
  close(returns.signed_hyperbolic(x), rlax.signed_hyperbolic(x))
  close(returns.signed_parabolic(x, 1e-2), rlax.signed_parabolic(x, 1e-2), 1e-4)


@pytest.mark.parametrize("lambda_", [1, 0.95, 0])
def test_retrace_of_discrete_actions_against_golden(lambda_):
  g = load("retrace")
  chosen = g["action"][..., None]
  q = jnp.take_along_axis(g["target_q"], chosen, axis=-1)[..., 0]  # [B, T + 1]
  v = jnp.sum(g["target_policy_probs"] * g["target_q"], axis=-1)
  log_pi = jnp.log(jnp.take_along_axis(g["target_policy_probs"], chosen, axis=-1)[..., 0])
  log_mu = jnp.log(g["behaviour_prob"] + g["ratio_epsilon"])
  inner = slice(1, -1)
  targets = jax.vmap(returns.retrace, in_axes=(0,) * 7 + (None,))(
    q[:, inner], v[:, 1:], g["reward"], g["gamma"] * g["discount"], log_pi[:, inner], log_mu[:, inner],
    jnp.ones_like(q[:, inner]), lambda_,
  )  # fmt: skip
  close(targets, g[f"lambda_{lambda_}.target"], 2e-5)


def test_retrace_of_continuous_actions_against_golden():
  g = {key.removeprefix("continuous."): value for key, value in load("retrace").items() if "continuous." in key}
  inner = slice(1, -1)
  targets = jax.vmap(returns.retrace, in_axes=(0,) * 7 + (None,))(
    g["action_value"][:, inner], g["state_value"][:, 1:], g["reward"][:, :-1], g["gamma"] * g["discount"][:, :-1],
    g["target_log_prob"][:, inner], g["behaviour_log_prob"][:, inner], jnp.ones((6, 6), bool), g["lambda"],
  )  # fmt: skip
  close(targets, g["target"], 2e-5)


@pytest.mark.parametrize("config", ["plain", "full"])
def test_vtrace_against_golden(config):
  """Targets and advantages, and the gradients of the whole loss that is made of them."""
  g = load("impala")
  c = {key.removeprefix(f"{config}."): value for key, value in g.items()}
  reward = jnp.clip(g["reward"], -c["max_abs_reward"], c["max_abs_reward"])[:, :-1]

  def log_prob(logits):
    return jnp.take_along_axis(jax.nn.log_softmax(logits), g["action"][..., None], axis=-1)[:, :-1, 0]

  def loss(logits, values):
    log_pi, v_tm1 = log_prob(logits), values[:, :-1]
    trace = jax.vmap(returns.vtrace)(
      v_tm1, values[:, 1:], reward, c["gamma"] * g["discount"][:, :-1], log_pi, log_prob(g["behaviour_logits"]),
      jnp.ones_like(v_tm1, bool),
    )  # fmt: skip
    log_probs = jax.nn.log_softmax(logits)[:, :-1]
    entropy = -jnp.mean(jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1))
    total = jnp.mean(-log_pi * trace.advantages) + c["baseline_cost"] * jnp.mean((trace.targets - v_tm1) ** 2)
    return total - c["entropy_cost"] * entropy, trace

  (total, trace), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(g["logits"], g["values"])
  close(trace.targets, c["vtrace_target"])
  close(trace.advantages, c["pg_advantage"])
  close(total, c["loss_total"])
  close(gradients[0], c["grad_logits"])
  close(gradients[1], c["grad_values"])


# A sequence of three steps of one episode, its final observation, and four steps of the next. The first is cut short by
# a time limit (its discounts stay 1). Numbers stored at the final observation belong to no step.
T, FINAL = 8, 3
ACTED = np.arange(T) != FINAL
V = RNG.normal(size=T + 1).astype(np.float32)  # of o_0, …, o_T
Q, LOG_PI = RNG.normal(size=(2, T)).astype(np.float32)
LOG_MU = RNG.normal(size=T).astype(np.float32)
R = RNG.normal(size=T).astype(np.float32)
D = np.full(T, 0.9, np.float32)
R[FINAL], Q[FINAL], LOG_PI[FINAL], LOG_MU[FINAL] = 1e3, -1e3, 500, -500


def parts(function):
  """What `function(first, last)`, over the transitions first, …, last − 1, gives for each episode on its own."""
  return np.concatenate([function(0, FINAL), function(FINAL + 1, T)])


def check_parts(whole, function):
  np.testing.assert_allclose(np.asarray(whole)[ACTED], parts(function), rtol=1e-5, atol=1e-5)
  assert np.isfinite(whole).all()


@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_n_step_takes_episodes_apart(n):
  def loop(first, last):
    result = []
    for t in range(first, last):
      end = min(t + n, last)
      g = V[end]
      for k in reversed(range(t, end)):
        g = R[k] + D[k] * g
      result.append(g)
    return result

  acted_t = np.r_[ACTED[1:], True]
  check_parts(returns.n_step(*map(jnp.asarray, (R, D, V[1:], acted_t)), n), loop)
  check_parts(returns.n_step(*map(jnp.asarray, (R, D, V[1:], acted_t.astype(np.float32))), n), loop)


@pytest.mark.parametrize("lambda_", [1.0, 0.7])
def test_retrace_takes_episodes_apart(lambda_):
  def loop(first, last):
    result = [R[last - 1] + D[last - 1] * V[last]]
    for t in reversed(range(first, last - 1)):
      c = lambda_ * min(1, np.exp(LOG_PI[t + 1] - LOG_MU[t + 1]))
      result.insert(0, R[t] + D[t] * (V[t + 1] + c * (result[0] - Q[t + 1])))
    return result

  inputs = (Q[1:], V[1:], R, D, LOG_PI[1:], LOG_MU[1:], ACTED[1:])
  check_parts(returns.retrace(*map(jnp.asarray, inputs), lambda_), loop)


def test_vtrace_takes_episodes_apart():
  def loop(first, last):
    targets, advantages = [V[last]], []
    for t in reversed(range(first, last)):
      rho = min(1, np.exp(LOG_PI[t] - LOG_MU[t]))
      advantages.insert(0, rho * (R[t] + D[t] * targets[0] - V[t]))
      correction = D[t] * rho * (targets[0] - V[t + 1])
      targets.insert(0, V[t] + rho * (R[t] + D[t] * V[t + 1] - V[t]) + correction)
    return np.stack([targets[:-1], advantages], axis=1)

  inputs = (V[:-1], V[1:], R, D, LOG_PI, LOG_MU, ACTED)
  trace = returns.vtrace(*map(jnp.asarray, inputs))
  check_parts(np.stack(trace, axis=1), loop)
  assert trace.targets[FINAL] == V[FINAL] and trace.advantages[FINAL] == 0


def test_no_gradient_flows_through_returns():
  ones = jnp.ones(4)
  functions = [
    lambda x: returns.n_step(x, x, x, ones, 2),
    lambda x: returns.retrace(x[1:], x, x, x, x[1:], x[1:], ones[1:]),
    lambda x: sum(returns.vtrace(x, x, x, x, x, x, ones)),
  ]
  for function in functions:
    np.testing.assert_array_equal(jax.grad(lambda x, f=function: jnp.sum(f(x)))(ones), 0)


@pytest.mark.parametrize(
  "call",
  [
    lambda x: returns.n_step(x, x, x, x, 2),
    lambda x: returns.retrace(x[0], x[0], x[0], x[0], x[0], x[0], x[0]),  # q must be one shorter
    lambda x: returns.vtrace(x, x, x, x, x, x, x),
  ],
)
def test_wrong_shapes_are_refused(call):
  with pytest.raises(AssertionError):
    call(jnp.ones((2, 4)))
