"""Both backends, given the same weights, batches and noise, do the same: losses, gradients, parameters, targets.

Values agree to 1e-5, relative to the largest of their array. Gradients are read from Adam's first moments, which after
one step are a tenth of them, so they are those that the learner used.
"""

import functools

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-ddpg[tf]"')

import jax
import tensorflow as tf
import tree

from acme import replay, specs, types
from acme_ddpg import DDPGConfig
from acme_ddpg.jax import learning as jax_learning
from acme_ddpg.jax import networks as jax_networks
from acme_ddpg.tf import learning as tf_learning
from acme_ddpg.tf import networks as tf_networks
from acme_tf import variables

B, STEPS = 16, 3
SMALL = {"policy_hidden_sizes": (8, 6), "critic_hidden_sizes": (8, 6), "target_update_period": 2}
CASES = {
  "uniform": {},
  "prioritized": {"prioritized": True, "importance_sampling_exponent": 0.6},
  "moved targets": {"target_update_period": 1, "target_update_rate": 0.1},
  "dqda_clipping": {"dqda_clipping": 1e-3},
  "no clipping": {"dqda_clipping": None, "max_gradient_norm": None},
  "max_gradient_norm": {"max_gradient_norm": 1e-2},
  "td3": {"twin_critic": True, "target_noise": 0.4, "target_noise_clip": 0.3, "policy_period": 2},
}
ACTIONS = {
  "vector": specs.BoundedArray((3,), np.float32, [-1, 0, 2], [1, 10, 3]),
  "nested": {
    "arm": specs.BoundedArray((2,), np.float32, -1, 1),
    "hand": (specs.BoundedArray((2, 2), np.float32, 0, 5), specs.BoundedArray((), np.float32, -2, 2)),
  },
}
NAMES = ("policy", "critic", "target_policy", "target_critic")
LAYERS = {
  "layer_norm_mlp/linear_0": "layer_norm_mlp/linear",
  "layer_norm_mlp/layer_norm": "layer_norm_mlp/layer_norm",
  "layer_norm_mlp/linear_1": "layer_norm_mlp/linear_1",
  "near_zero": "linear",
  "head": "linear",
}


def haiku_name(name):
  """Sonnet's `critics/critic_0/head/w` as Haiku's `critic/linear/w`."""
  net, *layer, leaf = name.removeprefix("critics/").split("/")
  return f"{net.removesuffix('_0')}/{LAYERS['/'.join(layer)]}/{leaf}"


def flat(params):
  return {f"{module}/{leaf}": np.asarray(value) for module, part in params.items() for leaf, value in part.items()}


def make_sample(spec, seed):
  rng = np.random.default_rng(seed)

  def act(leaf):
    return rng.uniform(leaf.minimum, leaf.maximum, size=(B, *leaf.shape)).astype(leaf.dtype)

  data = types.Transition(
    observation=rng.normal(size=(B, 4)).astype(np.float32),
    action=tree.map_structure(act, spec.actions),
    reward=rng.normal(size=B).astype(np.float32),
    discount=rng.choice([0, 0.6, 1], size=B).astype(np.float32),
    next_observation=rng.normal(size=(B, 4)).astype(np.float32),
  )
  return replay.Sample(data, (), rng.uniform(0.01, 0.1, size=B).astype(np.float32), ())


def first_moments(opt_state):
  def is_adam(node):
    return hasattr(node, "mu")

  (adam,) = filter(is_adam, jax.tree.leaves(opt_state, is_leaf=is_adam))
  return adam.mu


def run_jax(spec, config, samples):
  """Steps from targets other than the online networks: the weights before them, and after each what there is."""
  nets = jax_networks.make_networks(spec, config)
  state = jax_learning.make_state(nets, config, jax.random.PRNGKey(0))
  # Near zero, as it starts, the policy's first layers would have hardly a gradient to compare.
  state.params.policy["deterministic_policy/linear"]["w"] *= 100
  state = state._replace(target_params=jax_learning.make_state(nets, config, jax.random.PRNGKey(1)).params)
  update = jax.jit(jax_learning.make_update(nets, config))

  def parts():
    params = (*state.params, *state.target_params)
    moments = {f"{name} moments": first_moments(getattr(state, f"{name}_opt_state")) for name in NAMES[:2]}
    return {name: flat(part) for name, part in {**dict(zip(NAMES, params, strict=True)), **moments}.items()}

  before, found = parts(), []
  for sample in samples:
    state, priorities, metrics = update(state, sample)
    found.append({"outputs": {**metrics, "priorities": priorities}, **parts()})
  return before, found


def run_tf(spec, config, samples, before):
  nets = tf_networks.make_networks(spec, config)
  state = tf_learning.make_state(nets, config, seed=2)
  for name in NAMES:
    ours = getattr(state, name).variables
    assert sorted(map(haiku_name, variables.named(ours))) == sorted(before[name])
    variables.assign(ours, {key: before[name][haiku_name(key)] for key in variables.named(ours)})
  update = tf.function(functools.partial(tf_learning.make_update(nets, config), state))
  found = []
  for sample in samples:
    priorities, metrics = update(sample)
    parts = {name: variables.values(getattr(state, name).variables) for name in NAMES}
    for name in NAMES[:2]:
      names = variables.named(getattr(state, name).trainable_variables)
      slots = getattr(state, f"{name}_optimizer").m
      parts[f"{name} moments"] = {key: m.numpy() for key, m in zip(names, slots, strict=True)}
    renamed = {name: {haiku_name(key): value for key, value in part.items()} for name, part in parts.items()}
    found.append({"outputs": {**metrics, "priorities": priorities}, **renamed})
  return found


def check(config, actions, monkeypatch):
  scalar = specs.Array((), np.float32)
  spec = specs.EnvironmentSpec(specs.Array((4,), np.float32), actions, scalar, scalar)
  samples = [make_sample(spec, seed) for seed in range(STEPS)]
  for learning in (jax_learning, tf_learning):
    monkeypatch.setattr(learning, "draw", lambda state, shape: np.random.default_rng(9).normal(size=shape).astype("f4"))
  before, expected = run_jax(spec, config, samples)
  result = run_tf(spec, config, samples, before)
  for step in range(STEPS):
    assert expected[step].keys() == result[step].keys()
    for kind, values in expected[step].items():
      assert values.keys() == result[step][kind].keys()
      for name, value in values.items():
        value = np.asarray(value)
        moved = step > 0 or config.policy_period == 1 or kind != "policy moments"
        assert "moments" not in kind or np.any(value) == moved, f"the gradient of {name}"
        # Biases begin at 0, and may come back near to it: what they are made of are steps of the learning rate.
        largest = max(np.max(np.abs(value)), 0 if "moments" in kind else config.critic_learning_rate)
        error = {"rtol": 0, "atol": 1e-5 * largest, "err_msg": f"step {step}: {kind} {name}"}
        np.testing.assert_allclose(result[step][kind][name], value, **error)


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_three_steps(changes, monkeypatch):
  check(DDPGConfig(**{**SMALL, **changes}), ACTIONS["vector"], monkeypatch)


def test_three_steps_with_nested_actions(monkeypatch):
  check(DDPGConfig(**SMALL), ACTIONS["nested"], monkeypatch)
