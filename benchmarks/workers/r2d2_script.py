"""The limit: one jitted R2D2 step by hand, LSTM 256, on 32 sequences of 80 steps that never change."""

import argparse

import common
import jax
import jax.numpy as jnp
import numpy as np
import optax

ACTIONS, BATCH, STEPS, UNITS, FEATURES, N, EPSILON = 4, 32, 80, 256, 64, 5, 1e-3
DISCOUNT, TARGET_PERIOD, WEIGHT = 0.99, 100, 0.9

argparse.ArgumentParser().parse_args()
random = np.random.default_rng(0)


def linear(inputs, outputs):
  return jnp.asarray(random.normal(size=(inputs, outputs), scale=inputs**-0.5), jnp.float32), jnp.zeros(outputs)


params = (linear(8, FEATURES), linear(FEATURES + ACTIONS + 1 + UNITS, 4 * UNITS), linear(UNITS, ACTIONS))
optimizer = optax.chain(optax.clip_by_global_norm(40.0), optax.adam(1e-3))


def h(x):
  return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1) - 1) + EPSILON * x


def h_inverse(x):
  return jnp.sign(x) * (((jnp.sqrt(1 + 4 * EPSILON * (jnp.abs(x) + 1 + EPSILON)) - 1) / (2 * EPSILON)) ** 2 - 1)


def q_values(params, batch):
  """[L, B, A]."""
  (w_in, b_in), (w_core, b_core), (w_out, b_out) = params
  x = jax.nn.relu(batch["observation"] @ w_in + b_in)
  x = jnp.concatenate([x, jax.nn.one_hot(batch["previous_action"], ACTIONS), batch["previous_reward"][..., None]], -1)

  def step(state, x):
    hidden, cell = state
    i, g, f, o = jnp.split(jnp.concatenate([x, hidden], -1) @ w_core + b_core, 4, axis=-1)
    cell = jax.nn.sigmoid(f + 1) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
    return (hidden, cell), hidden

  _, hidden = jax.lax.scan(step, batch["core"], x)
  return hidden @ w_out + b_out


@jax.jit
def update(state, batch):
  params, target_params, opt_state, steps = state

  def loss(params):
    q, target_q = q_values(params, batch), q_values(target_params, batch)
    best = jnp.argmax(q, -1)
    values = h_inverse(jnp.take_along_axis(target_q, best[..., None], -1)[..., 0])  # [T + 1, B]
    pad = lambda x, fill: jnp.concatenate([x, jnp.full((N, BATCH), fill)])  # noqa: E731
    rewards, discounts = pad(batch["reward"][:-1], 0.0), pad(batch["discount"][:-1] * DISCOUNT, 1.0)
    targets = jnp.concatenate([values[N:], jnp.repeat(values[-1:], N - 1, 0)])  # [T, B]
    for i in reversed(range(N)):
      targets = rewards[i : i + STEPS] + discounts[i : i + STEPS] * targets
    done = jnp.take_along_axis(q[:-1], batch["action"][:-1, :, None], -1)[..., 0]
    error = jax.lax.stop_gradient(h(targets)) - done
    size = jnp.abs(error)
    priorities = WEIGHT * jnp.max(size, 0) + (1 - WEIGHT) * jnp.mean(size, 0)
    return jnp.mean(batch["weights"] * jnp.sum(0.5 * error**2, 0)), priorities

  (_, priorities), gradients = jax.value_and_grad(loss, has_aux=True)(params)
  updates, opt_state = optimizer.update(gradients, opt_state)
  params = optax.apply_updates(params, updates)
  steps = steps + 1
  target_params = optax.periodic_update(params, target_params, steps, TARGET_PERIOD)
  return (params, target_params, opt_state, steps), priorities


shape = (STEPS + 1, BATCH)
action, reward = random.integers(ACTIONS, size=shape), random.normal(size=shape).astype(np.float32)
batch = {
  "observation": random.normal(size=(*shape, 8)).astype(np.float32),
  "action": action,
  "reward": reward,
  "discount": np.ones(shape, np.float32),
  "previous_action": np.roll(action, 1, 0),
  "previous_reward": np.roll(reward, 1, 0),
  "core": (np.zeros((BATCH, UNITS), np.float32), np.zeros((BATCH, UNITS), np.float32)),
  "weights": np.ones(BATCH, np.float32),
}
state = (params, params, optimizer.init(params), jnp.zeros((), jnp.int32))


def run():
  """5 SGD steps."""
  global state
  for _ in range(5):
    state, priorities = update(state, batch)
    np.asarray(priorities)
  jax.block_until_ready(state)


common.report(sequences_per_second=common.rate(run, 5 * BATCH, 4.0))
