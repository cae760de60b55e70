"""The loss against golden numbers, and its parts by hand."""

import pathlib
from types import SimpleNamespace

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import replay, types
from acme_dqfd import DQfDConfig
from acme_dqfd.jax import learning, losses

with np.load(pathlib.Path(__file__).parent / "golden" / "dqfd.npz", allow_pickle=False) as _file:
  GOLDEN = {name: _file[name] for name in _file.files}
B, A = GOLDEN["online_q"].shape
NO_HUBER = 32.0  # Within so large a δ the loss is ½ δ²; a much larger one costs float32 its digits.


def table(name):
  """Q-values of s_t, s_{t+1} and s_{t+n}, one after the other, as an array of one axis, as biases have: no weights."""
  here = GOLDEN["online_q"] if name == "online" else np.zeros((B, A))
  return np.concatenate([here, GOLDEN[f"{name}_q_next"], GOLDEN[f"{name}_q_nth"]]).ravel().astype(np.float32)


def params(name):
  return {"q": table(name), "w": GOLDEN["weights"].astype(np.float32), "b": np.ones(9, np.float32)}


NETS = SimpleNamespace(
  network=hk.Transformed(None, lambda params, key, observation: params["q"].reshape(-1, A)[observation]),
  values=lambda q: q,
)


def make_sample(is_demonstration=GOLDEN["is_demonstration"]):
  rows, (reward, discount) = np.arange(B), (GOLDEN[name].astype(np.float32) for name in ("reward", "discount"))
  data = types.Transition(
    observation=rows,
    action=GOLDEN["action"].astype(np.int32),
    reward=GOLDEN["n_step_return"].astype(np.float32),
    discount=(GOLDEN["n_step_discount"] / GOLDEN["gamma"]).astype(np.float32),
    next_observation=2 * B + rows,
    one_step=types.OneStep(reward[:, 0], discount[:, 0], B + rows),
  )
  part = np.where(is_demonstration, 0, 1).astype(np.int32)  # Demonstrations are the experience's first part.
  return replay.Sample(data, (), np.ones(B, np.float32), (), part)


def make_config(scale=1.0, **changes):
  """The golden numbers' config; `scale` multiplies what is not squared."""
  return DQfDConfig(
    discount=float(GOLDEN["gamma"]),
    huber_delta=NO_HUBER,
    margin=float(GOLDEN["margin"]),
    margin_cost=scale * float(GOLDEN["lambda_margin"]),
    n_step_cost=float(GOLDEN["lambda_n_step"]),
    l2_cost=scale * float(GOLDEN["lambda_l2"]),
    **changes,
  )


def total(config, sample):
  """The whole loss, what each transition adds to it, and the gradient to Q(s_t): means times B."""
  loss = learning.make_loss(NETS, config)

  def function(online):
    terms, priorities, _ = loss(online, params("target"), jax.random.PRNGKey(0), sample)
    each = terms.one_step + config.n_step_cost * terms.n_step + config.margin_cost * terms.margin
    return jnp.mean(each) + config.l2_cost * terms.l2, (each, priorities)

  (value, (each, priorities)), gradients = jax.jit(jax.value_and_grad(function, has_aux=True))(params("online"))
  return value, each, gradients, priorities


@pytest.mark.parametrize(("kind", "factor"), [("half_squared", 1), ("squared", 2)])
def test_golden(kind, factor):
  """The paper's δ² is twice our ½ δ², beside half the margin and half the L2."""
  value, each, gradients, priorities = total(make_config(1 / factor), make_sample())
  np.testing.assert_allclose(factor * each, GOLDEN[f"{kind}.total_per_sample"], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(factor * value, GOLDEN[f"{kind}.loss"], rtol=1e-5)
  q = np.asarray(gradients["q"]).reshape(3, B, A)
  np.testing.assert_allclose(factor * q[0], GOLDEN[f"{kind}.grad_online_q"], rtol=1e-5, atol=1e-6)
  assert not q[1:].any(), "targets pass no gradient"
  np.testing.assert_allclose(gradients["w"], 2 * GOLDEN["lambda_l2"] / factor * GOLDEN["weights"], rtol=1e-5)
  assert not gradients["b"].any(), "biases are left out of L2"
  np.testing.assert_allclose(priorities, np.abs(GOLDEN["one_step_td_error"]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("double", "kind"), [(True, "double"), (False, "max")])
def test_golden_parts(double, kind):
  terms, *_ = learning.make_loss(NETS, make_config(double_q=double))(
    params("online"), params("target"), jax.random.PRNGKey(0), make_sample()
  )
  np.testing.assert_allclose(terms.n_step, GOLDEN[f"n_step_td_error_{kind}"] ** 2 / 2, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(terms.margin, GOLDEN["large_margin_loss"], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(terms.l2, GOLDEN["l2_regularization"], rtol=1e-5)


def test_golden_with_another_target_of_n_steps():
  """`squared_max` has double Q-learning for one step only, which no config of ours has: it is a sum of both."""
  parts = [
    learning.make_loss(NETS, make_config(1 / 2, double_q=double))(
      params("online"), params("target"), jax.random.PRNGKey(0), make_sample()
    )[0]
    for double in (True, False)
  ]
  each = 2 * (parts[0].one_step + parts[1].n_step + parts[0].margin / 2)
  np.testing.assert_allclose(each, GOLDEN["squared_max.total_per_sample"], rtol=1e-5, atol=1e-6)


def test_the_margin_is_of_demonstrations_alone():
  none, all_ = (total(make_config(), make_sample(np.full(B, flag)))[1] for flag in (0, 1))
  q, action = GOLDEN["online_q"], GOLDEN["action"]
  margins = np.where(np.arange(A) == action[:, None], 0, 0.8)
  expected = np.max(q + margins, axis=1) - q[np.arange(B), action]
  np.testing.assert_allclose(all_ - none, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ("q", "action", "loss", "gradient"),
  [
    ([0.0, 1.0, 0.1], 1, 0.0, [0, 0, 0]),  # by .9 above the others
    ([0.0, 1.0, 0.5], 1, 0.3, [0, -1, 1]),  # the best, by too little
    ([2.0, 1.0, 0.5], 1, 1.8, [1, -1, 0]),
    ([2.0, 2.0, 2.0], 0, 0.8, None),
  ],
)
def test_large_margin(q, action, loss, gradient):
  value, found = jax.value_and_grad(losses.large_margin)(jnp.array(q), jnp.int32(action), 0.8)
  assert value == pytest.approx(loss, abs=1e-6)
  if gradient is not None:
    np.testing.assert_array_equal(found, gradient)
  assert losses.large_margin(jnp.array(q), jnp.int32(action), 0.0) == pytest.approx(max(q) - q[action])
