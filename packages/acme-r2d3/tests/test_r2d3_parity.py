"""Both backends, given the same weights and batches, do the same for three steps, metrics included.

Values agree to 1e-5, relative to the largest of their array.
"""

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-r2d3[tf]"')

import jax
import tensorflow as tf

from acme import replay, types
from acme_r2d3 import R2D3Config
from acme_r2d3.jax import learning as jax_learning
from acme_r2d3.tf import learning as tf_learning
from acme_testing import fakes
from acme_tf import variables

B, L, H = 6, 8, 4
SPEC = fakes.make_spec("vector", "discrete")
CONFIG = R2D3Config(burn_in_length=2, trace_length=5, n_step=3, hidden_sizes=(), core="gru", core_size=H,
                    dueling=False, head_hidden_sizes=(), target_update_period=2)  # fmt: skip
MODULES = {"gru": "gru", "head/mlp/linear_0": "linear"}  # Sonnet's on the left, Haiku's on the right.


def by_haiku_name(network):
  named = {name.partition("/")[2]: value.numpy() for name, value in variables.named(network.variables).items()}
  return {
    theirs: {name.removeprefix(f"{ours}/"): value for name, value in named.items() if name.startswith(f"{ours}/")}
    for ours, theirs in MODULES.items()
  }


def assign(network, params):
  found = variables.named(network.variables)
  values = {f"r2d2/{ours}/{leaf}": np.asarray(x) for ours, key in MODULES.items() for leaf, x in params[key].items()}
  assert values.keys() == found.keys()
  variables.assign(network.variables, values)


def make_sample(seed):
  rng = np.random.default_rng(seed)
  acted = np.ones((B, L), np.float32)
  acted[0, 6:], acted[1, 4] = 0, 0
  start = np.zeros((B, L), bool)
  start[1, 5] = True
  actions, rewards = rng.integers(3, size=(2, B, L)).astype(np.int32), rng.normal(size=(2, B, L)).astype(np.float32)
  data = types.Sequence(
    observation=rng.normal(size=(B, L, 5)).astype(np.float32),
    action=actions[0],
    reward=rewards[0],
    discount=rng.choice(np.float32([0, 0.5, 1]), size=(B, L)),
    start_of_episode=start,
    mask=np.ones((B, L), np.float32),
    acted=acted,
    previous_action=actions[1],
    previous_reward=rewards[1],
    core=rng.normal(size=(B, H)).astype(np.float32),
  )
  part = rng.integers(2, size=B).astype(np.int32)
  return replay.Sample(data, (), rng.uniform(0.01, 0.1, size=B).astype(np.float32), (), part)


def close(ours, theirs):
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)
  for (path, one), other in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
    limit = 1e-5 * np.max(np.abs(other)) + 1e-7
    np.testing.assert_allclose(one, other, rtol=0, atol=limit, err_msg=jax.tree_util.keystr(path))


def test_three_steps():
  program, tf_program = jax_learning.make_program(SPEC, CONFIG), tf_learning.make_program(SPEC, CONFIG)
  state, other = (jax.jit(program.init)(jax.random.PRNGKey(i)) for i in range(2))
  state, tf_state = state._replace(target_params=other.params), tf_program.init(2)
  assign(tf_state.online, state.params)
  assign(tf_state.target, state.target_params)
  update = jax.jit(program.update)
  tf_update = tf.function(lambda sample: tf_program.update(tf_state, sample))
  for seed in range(3):
    sample = make_sample(seed)
    state, priorities, metrics = update(state, sample)
    tf_priorities, tf_metrics = tf_update(tf.nest.map_structure(tf.constant, sample))
    close({name: value.numpy() for name, value in tf_metrics.items()}, metrics)
    close(tf_priorities.numpy(), priorities)
  close(by_haiku_name(tf_state.online), state.params)
  close(by_haiku_name(tf_state.target), state.target_params)
