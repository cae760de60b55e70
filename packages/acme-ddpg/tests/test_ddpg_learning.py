"""Whole learner steps, against float64 NumPy with gradients by hand, and the reference numbers of golden/."""

import pathlib

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import replay, specs, types
from acme_ddpg import DDPGConfig
from acme_ddpg.jax import learning, networks

B, O, D = 8, 4, 3
SCALAR = specs.Array((), np.float32)
SPEC = specs.EnvironmentSpec(specs.Array((O,), np.float32), specs.BoundedArray((D,), np.float32, -1, 1), SCALAR, SCALAR)
GOLDEN = dict(np.load(pathlib.Path(__file__).parent / "golden" / "ddpg.npz", allow_pickle=False))


def linear(num_critics):
  """a = o W + w; Q_k = (o M_k + v_k) · a + o · u_k + c_k."""

  def get(name, *shape):
    return hk.get_parameter(name, shape, init=hk.initializers.RandomNormal())

  def critic(o, a):
    slope = jnp.einsum("bo,kod->bkd", o, get("M", num_critics, O, D)) + get("v", num_critics, D)
    return jnp.einsum("bkd,bd->bk", slope, a) + o @ get("u", num_critics, O).T + get("c", num_critics)

  return hk.transform(lambda o: o @ get("W", O, D) + get("w", D)), hk.transform(critic)


def make(config):
  nets = networks.make_networks(SPEC, config, linear(2 if config.twin_critic else 1))
  return nets, learning.make_state(nets, config, jax.random.PRNGKey(0)), jax.jit(learning.make_update(nets, config))


def make_sample(seed=0, scale=1.0):
  rng = np.random.default_rng(seed)
  normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
  discount = rng.choice([0, 0.6, 1], size=B).astype(np.float32)
  data = types.Transition(normal(B, O), normal(B, D), scale * normal(B), discount, normal(B, O))
  return replay.Sample(data, (), rng.uniform(0.01, 0.1, size=B).astype(np.float32), ())


class Reference:
  """The same learner in float64, as the papers have it."""

  def __init__(self, config, params):
    self.config = config
    self.params = {"policy": self._float64(params.policy), "critic": self._float64(params.critic)}
    self.target = {name: dict(part) for name, part in self.params.items()}
    self.moments = {name: {key: (0.0, 0.0) for key in part} for name, part in self.params.items()}
    self.counts = {"policy": 0, "critic": 0}
    self.steps = 0

  @staticmethod
  def _float64(params):
    return {key: np.asarray(value, np.float64) for part in params.values() for key, value in part.items()}

  @staticmethod
  def q(critic, o, a):
    slope = np.einsum("bo,kod->bkd", o, critic["M"]) + critic["v"]
    return np.einsum("bkd,bd->bk", slope, a) + o @ critic["u"].T + critic["c"], slope

  def update(self, sample, noise):
    config, online, data = self.config, self.params, types.Transition(*(np.float64(x) for x in sample.data[:5]))
    self.steps += 1
    a_t = data.next_observation @ self.target["policy"]["W"] + self.target["policy"]["w"]
    if config.target_noise:
      smooth = np.clip(config.target_noise * noise, -config.target_noise_clip, config.target_noise_clip)
      a_t = np.clip(a_t + smooth, -1, 1)
    q_t = self.q(self.target["critic"], data.next_observation, a_t)[0].min(axis=-1)
    target = data.reward + config.discount * data.discount * q_t
    errors = target[:, None] - self.q(online["critic"], data.observation, data.action)[0]  # [B, K]
    exponent = config.importance_sampling_exponent if config.prioritized else 0.0
    weights = (1 / np.float64(sample.probabilities)) ** exponent
    weights = weights / weights.max()
    d_q = -weights[:, None] * errors / B  # [B, K]
    o, a = data.observation, data.action
    critic = {"M": np.einsum("bk,bo,bd->kod", d_q, o, a), "v": d_q.T @ a, "u": d_q.T @ o, "c": d_q.sum(axis=0)}
    action = o @ online["policy"]["W"] + online["policy"]["w"]
    dq_da = self.q(online["critic"], o, action)[1][:, 0]  # [B, D], of the first critic
    if config.dqda_clipping is not None:
      dq_da = dq_da / np.maximum(1, np.linalg.norm(dq_da, axis=-1, keepdims=True) / config.dqda_clipping)
    policy = {"W": -o.T @ dq_da / B, "w": -dq_da.sum(axis=0) / B}
    self.adam("critic", critic, config.critic_learning_rate)
    if self.steps % config.policy_period == 0:
      self.adam("policy", policy, config.policy_learning_rate)
    if self.steps % config.target_update_period == 0:
      rate = config.target_update_rate
      for name, part in self.target.items():
        self.target[name] = {key: rate * online[name][key] + (1 - rate) * old for key, old in part.items()}
    loss = np.mean(weights * 0.5 * np.sum(errors**2, axis=-1))
    return {"loss": loss, "priorities": np.abs(errors).max(axis=-1), "policy": policy, "critic": critic}

  def adam(self, name, gradients, rate):
    norm, largest = np.sqrt(sum(np.sum(g**2) for g in gradients.values())), self.config.max_gradient_norm
    self.counts[name] += 1
    t = self.counts[name]
    for key, gradient in gradients.items():
      if largest is not None and norm > largest:
        gradient = gradient * largest / norm
      m, v = self.moments[name][key]
      m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
      self.moments[name][key] = m, v
      step = rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
      self.params[name][key] = self.params[name][key] - step


CASES = {
  "default": {},
  "copied targets": {"target_update_period": 2},
  "moved targets": {"target_update_period": 1, "target_update_rate": 0.1},
  "prioritized": {"prioritized": True, "importance_sampling_exponent": 0.6},
  "no clipping": {"dqda_clipping": None, "max_gradient_norm": None},
  "clipping": {"dqda_clipping": 0.3, "max_gradient_norm": 0.01},
  "twin": {"twin_critic": True},
  "delayed": {"policy_period": 2},
  "smoothed": {"target_noise": 0.7},
  "td3": {"twin_critic": True, "policy_period": 2, "target_noise": 0.2, "target_noise_clip": 0.1,
          "target_update_period": 2, "target_update_rate": 0.3},
}  # fmt: skip


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_steps_against_numpy(changes):
  config = DDPGConfig(policy_learning_rate=1e-2, critic_learning_rate=1e-2, **changes)
  _, state, update = make(config)
  reference = Reference(config, state.params)
  for i in range(5):
    sample, noise = make_sample(i), np.asarray(learning.draw(state, (B, D)), np.float64)
    state, priorities, metrics = update(state, sample)
    expected = reference.update(sample, noise)
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-5)
    np.testing.assert_allclose(priorities, expected["priorities"], rtol=1e-4, atol=1e-5)
  for name in ("policy", "critic"):
    for params, wanted in ((state.params, reference.params), (state.target_params, reference.target)):
      for key, value in Reference._float64(getattr(params, name)).items():
        np.testing.assert_allclose(value, wanted[name][key], rtol=1e-5, atol=1e-5, err_msg=f"{name} {key}")


@pytest.mark.parametrize("scale", [1, 300])
@pytest.mark.parametrize("clipping", ["on", "off"])
def test_gradients_against_golden(clipping, scale):
  """As Adam's first moments have them: a tenth of the gradient. The policy's observation is the next one, as theirs."""
  on = clipping == "on"
  config = DDPGConfig(dqda_clipping=1.0 if on else None, max_gradient_norm=40.0 if on else None,
                      discount=float(GOLDEN["gamma"]), target_update_period=2)  # fmt: skip
  _, state, update = make(config)

  def params(net):
    names = {"W": "policy_weights", "w": "policy_bias", "M": "critic_bilinear", "v": "critic_action_weights",
             "u": "critic_observation_weights", "c": "critic_bias"}  # fmt: skip
    g = {key: np.float32(GOLDEN[f"{net}_{name}"]) for key, name in names.items()}
    policy, critic = {key: g[key] for key in "Ww"}, {key: g[key][None] for key in "Mvuc"}
    return learning.control.Params({"~": policy}, {"~": critic})

  state = state._replace(params=params("online"), target_params=params("target"))
  o, a, r, d, o_t = (np.float32(GOLDEN[k]) for k in ("observation", "action", "reward", "discount", "next_observation"))
  prefix = f"clipping_{clipping}.reward_scale_{scale}."
  wanted = {key.removeprefix(prefix): value for key, value in GOLDEN.items()}

  def moments(transition):
    sample = replay.Sample(transition, (), np.ones(B, np.float32), ())
    after, priorities, metrics = update(state, sample)
    optimizers = [after.policy_opt_state, after.critic_opt_state]
    is_adam = lambda node: hasattr(node, "mu")  # noqa: E731
    adams = [next(filter(is_adam, jax.tree.leaves(each, is_leaf=is_adam))).mu["~"] for each in optimizers]
    return *adams, priorities, metrics

  _, critic, priorities, metrics = moments(types.Transition(o, a, scale * r, d, o_t))
  policy, *_ = moments(types.Transition(o_t, a, scale * r, d, o_t))
  np.testing.assert_allclose(metrics["loss"], wanted["critic_loss"], rtol=1e-5)
  np.testing.assert_allclose(priorities, np.abs(wanted["td_error"]), rtol=1e-5, atol=1e-5)
  gradients = {
    "policy_weights": policy["W"],
    "policy_bias": policy["w"],
    "critic_bilinear": critic["M"][0],
    "critic_observation_weights": critic["u"][0],
    "critic_action_weights": critic["v"][0],
    "critic_bias": critic["c"][0],
  }
  for name, moment in gradients.items():
    np.testing.assert_allclose(10 * moment, wanted[f"grad_{name}"], rtol=2e-5, atol=1e-5, err_msg=name)


def test_what_is_drawn_differs_from_step_to_step():
  config = DDPGConfig(target_noise=0.2)
  _, state, update = make(config)
  draws = []
  for i in range(3):
    draws.append(np.asarray(learning.draw(state, (B, D))))
    state, *_ = update(state, make_sample(i))
  assert len(np.unique(draws, axis=0)) == 3
