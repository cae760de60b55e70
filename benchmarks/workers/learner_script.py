"""The limit: one jitted DQN step by hand, MLP 256-256, batch 256, on one batch that never changes."""

import common
import jax
import jax.numpy as jnp
import numpy as np
import optax

HIDDEN, BATCH, ACTIONS, DISCOUNT, TARGET_PERIOD = 256, 256, 4, 0.99, 100

random = np.random.default_rng(0)
sizes = [8, HIDDEN, HIDDEN, ACTIONS]
params = [
  (jnp.asarray(random.normal(size=(i, o), scale=i**-0.5), jnp.float32), jnp.zeros(o))
  for i, o in zip(sizes[:-1], sizes[1:], strict=True)
]
optimizer = optax.adam(1e-3)


def q_values(params, x):
  for w, b in params[:-1]:
    x = jax.nn.relu(x @ w + b)
  w, b = params[-1]
  return x @ w + b


@jax.jit
def update(state, observation, action, reward, discount, next_observation):
  params, target_params, opt_state, steps = state

  def loss(params):
    q = jnp.take_along_axis(q_values(params, observation), action[:, None], axis=1)[:, 0]
    best = jnp.argmax(q_values(params, next_observation), axis=1)
    value = jnp.take_along_axis(q_values(target_params, next_observation), best[:, None], axis=1)[:, 0]
    target = jax.lax.stop_gradient(reward + DISCOUNT * discount * value)
    return jnp.mean(optax.huber_loss(q, target))

  gradients = jax.grad(loss)(params)
  updates, opt_state = optimizer.update(gradients, opt_state)
  params = optax.apply_updates(params, updates)
  steps = steps + 1
  target_params = optax.periodic_update(params, target_params, steps, TARGET_PERIOD)
  return params, target_params, opt_state, steps


state = (params, params, optimizer.init(params), jnp.zeros((), jnp.int32))
rows = common.transitions("vector", BATCH)
batch = (
  rows[:-1],
  random.integers(ACTIONS, size=BATCH, dtype=np.int32),
  random.normal(size=BATCH).astype(np.float32),
  np.ones(BATCH, np.float32),
  rows[1:],
)


def run():
  """50 SGD steps."""
  global state
  for _ in range(50):
    state = update(state, *batch)
  jax.block_until_ready(state)


common.report(steps_per_second=common.rate(run, 50, 2.0))
