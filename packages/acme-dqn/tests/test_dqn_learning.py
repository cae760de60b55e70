"""One training step: the quantities it is made of, and that every switch trains every parameter."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import replay, specs, types
from acme_dqn import DQNConfig
from acme_dqn.jax import acting, learning, networks

B, D, A = 6, 3, 2
SCALAR = specs.Array((), np.float32)
SPEC = specs.EnvironmentSpec(specs.Array((D,), np.float32), specs.DiscreteArray(A, np.int32), SCALAR, SCALAR)
SMALL = {"hidden_sizes": (8,), "batch_size": B, "num_atoms": 5, "num_quantiles": 4}


def make_sample(seed=0):
  rng = np.random.default_rng(seed)
  observations = rng.normal(size=(2, B, D)).astype(np.float32)
  data = types.Transition(
    observation=observations[0],
    action=rng.integers(A, size=B).astype(np.int32),
    reward=rng.normal(size=B).astype(np.float32),
    discount=rng.choice([0, 0.5, 1], size=B).astype(np.float32),
    next_observation=observations[1],
  )
  return replay.Sample(data, (), rng.uniform(0.01, 0.1, size=B).astype(np.float32), ())


def linear_networks(config):
  return networks.make_networks(SPEC, config, hk.transform(lambda o: hk.Linear(A)(o)))


def q(params, observation):
  return observation @ np.asarray(params["linear"]["w"]) + np.asarray(params["linear"]["b"])


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("prioritized", [True, False])
def test_update_is_the_equation(double, prioritized):
  config = DQNConfig(
    double_q=double, prioritized=prioritized, discount=0.9, importance_sampling_exponent=0.5, huber_delta=0.3
  )
  nets = linear_networks(config)
  state = learning.make_state(nets, config, jax.random.PRNGKey(0))
  rng = np.random.default_rng(1)
  target = jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32), state.params)
  sample = make_sample()
  update = jax.jit(learning.make_update(nets, config))
  _, priorities, metrics = update(state._replace(target_params=target), sample)

  data, rows = sample.data, np.arange(B)
  chooser = state.params if double else target
  best = np.argmax(q(chooser, data.next_observation), axis=1)
  y = data.reward + 0.9 * data.discount * q(target, data.next_observation)[rows, best]
  td = y - q(state.params, data.observation)[rows, data.action]
  size = np.abs(td)
  huber = np.where(size <= 0.3, td**2 / 2, 0.3 * (size - 0.15))
  weights = (1 / sample.probabilities) ** 0.5 if prioritized else np.ones(B)
  np.testing.assert_allclose(priorities, size, rtol=1e-5)
  np.testing.assert_allclose(metrics["loss"], np.mean(weights / weights.max() * huber), rtol=1e-5)


def test_target_starts_equal_and_is_copied_every_period():
  config = DQNConfig(target_update_period=3, prioritized=False)
  nets = linear_networks(config)
  state = first = learning.make_state(nets, config, jax.random.PRNGKey(0))
  update = jax.jit(learning.make_update(nets, config))
  equal = []
  for i in range(6):
    state, _, _ = update(state, make_sample(i))
    equal.append(all(map(np.array_equal, jax.tree.leaves(state.params), jax.tree.leaves(state.target_params))))
    if i < 2:
      np.testing.assert_array_equal(state.target_params["linear"]["w"], first.params["linear"]["w"])
  jax.tree.map(np.testing.assert_array_equal, first.target_params, first.params)
  assert equal == [False, False, True, False, False, True]


SWITCHES = [
  {},
  {"dueling": True},
  {"noisy": True},
  {"categorical": True},
  {"quantile": True},
  {"munchausen": True},
  {"munchausen": True, "categorical": True, "dueling": True},
  {"munchausen": True, "quantile": True, "noisy": True},
  {"double_q": False, "quantile": True, "dueling": True, "noisy": True},
  {"dueling": True, "categorical": True, "noisy": True, "max_gradient_norm": 1.0},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: "+".join(s) or "plain")
def test_every_switch_trains_every_parameter(switches):
  config = DQNConfig(**SMALL, **switches)
  nets = networks.make_networks(SPEC, config)
  state = learning.make_state(nets, config, jax.random.PRNGKey(0))
  new, priorities, metrics = jax.jit(learning.make_update(nets, config))(state, make_sample())
  assert np.all(np.isfinite(priorities)) and np.all(priorities >= 0) and priorities.shape == (B,)
  assert np.isfinite(metrics["loss"])
  changed = jax.tree.map(lambda a, b: np.any(np.asarray(a) != b), state.params, new.params)
  for path, leaf in jax.tree_util.tree_leaves_with_path(changed):
    assert leaf, f"{jax.tree_util.keystr(path)} did not change"


def test_gradient_clipping_bounds_the_norm():
  config = DQNConfig(max_gradient_norm=0.5)
  huge = {"w": jnp.full((3,), 100.0)}
  clipped = learning.make_optimizer(config)
  moments = clipped.update(huge, clipped.init(huge))[1]
  mu = jax.tree.leaves(moments)
  norm = max(float(jnp.linalg.norm(leaf)) for leaf in mu if leaf.shape == (3,))
  assert norm == pytest.approx(0.1 * 0.5, rel=1e-4)  # Adam's first moment: (1 − β_1) g


def test_the_learning_rate_falls_to_zero_in_a_straight_line():
  optimizer = learning.make_optimizer(DQNConfig(learning_rate=0.1, learning_rate_steps=4))
  params = {"w": jnp.zeros(3)}
  state, sizes = optimizer.init(params), []
  for _ in range(6):
    updates, state = optimizer.update({"w": jnp.ones(3)}, state)  # Of such gradients a step of Adam is the rate.
    sizes.append(-float(updates["w"][0]))
  np.testing.assert_allclose(sizes, [0.1, 0.075, 0.05, 0.025, 0, 0], atol=1e-6)


def test_noise_differs_by_step_and_is_absent_at_evaluation():
  config = DQNConfig(**SMALL, noisy=True)
  nets = networks.make_networks(SPEC, config)
  state = learning.make_state(nets, config, jax.random.PRNGKey(0))
  update = jax.jit(learning.make_update(nets, config))
  losses = {float(update(state._replace(steps=jnp.int32(i)), make_sample())[2]["loss"]) for i in range(5)}
  assert len(losses) == 5
  step = types.Step(make_sample().data.observation, None, None, None, None)
  mean = np.argmax(nets.values(nets.network.apply(state.params, None, step.observation)), axis=1)
  policies = [acting.make_policy(nets, config, evaluation=evaluation) for evaluation in (True, False)]
  assert [policy.random for policy in policies] == [False, True]
  np.testing.assert_array_equal(policies[0].act(state.params, None, step, ()).action, mean)
  drawn = [policies[1].act(state.params, jax.random.PRNGKey(i), step, ()).action for i in range(20)]
  assert any(not np.array_equal(action, mean) for action in drawn)


def test_values_of_distributions():
  logits = jnp.array([[[0.0, 0.0, 50.0], [0.0, 0.0, 0.0]]])
  c51 = networks.make_networks(SPEC, DQNConfig(categorical=True, num_atoms=3, vmin=-2.0, vmax=4.0))
  np.testing.assert_allclose(c51.values(logits), [[4, 1]], rtol=1e-5)
  np.testing.assert_allclose(networks.atoms(DQNConfig(num_atoms=3, vmin=-2.0, vmax=4.0)), [-2, 1, 4])
  qr = networks.make_networks(SPEC, DQNConfig(quantile=True, num_quantiles=3))
  np.testing.assert_allclose(qr.values(jnp.array([[[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]])), [[3, 1]])


def test_own_network_must_fit():
  with pytest.raises(ValueError, match=r"Q-values \[A\]"):
    networks.make_networks(SPEC, DQNConfig(), hk.transform(lambda o: hk.Linear(A + 1)(o)))
  with pytest.raises(ValueError, match=r"logits \[A, num_atoms\]"):
    networks.make_networks(SPEC, DQNConfig(categorical=True), hk.transform(lambda o: hk.Linear(A)(o)))
  with pytest.raises(TypeError, match=r"haiku\.Transformed"):
    networks.make_networks(SPEC, DQNConfig(), lambda o: o)


def test_atari_observations_go_through_convolutions():
  spec = SPEC._replace(observations=specs.BoundedArray((84, 84, 4), np.uint8, 0, 255))
  nets = networks.make_networks(spec, DQNConfig.atari())
  shapes = jax.eval_shape(lambda key: nets.network.init(key, nets.observation), jax.random.PRNGKey(0))
  sizes = [leaf["w"].shape for leaf in shapes.values()]
  assert (8, 8, 4, 32) in sizes  # the first convolution
  assert (7 * 7 * 64, 512) in sizes  # a stream of the dueling head
