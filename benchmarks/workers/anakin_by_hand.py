"""The limit: a DQN written by hand for the jitted loop. CartPole, 64-64, batch 64, uniform 1-step."""

import argparse
import time

import common
import jax
import jax.numpy as jnp
import optax

from acme_anakin import environments

parser = argparse.ArgumentParser()
parser.add_argument("--seeds", type=int, default=1)
parser.add_argument("--every", type=int, default=1)
parser.add_argument("--steps", type=int, default=20_000)
options = parser.parse_args()

CAPACITY, BATCH, GAMMA, EPSILON, PERIOD, START = 100_000, 64, 0.99, 0.05, 100, 64
environment = environments.make("CartPole-v1")
optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1e-3))
capacity = min(CAPACITY, options.steps + 1000)


def q_values(params, x):
  for w, b in params[:-1]:
    x = jax.nn.relu(x @ w + b)
  return x @ params[-1][0] + params[-1][1]


def init(key):
  keys = jax.random.split(key, 4)
  sizes = (4, 64, 64, 2)
  params = [
    (jax.random.normal(k, (m, n)) / m**0.5, jnp.zeros(n)) for k, m, n in zip(keys[:3], sizes, sizes[1:], strict=False)
  ]
  state, observation = environment.reset(keys[3])
  ring = (jnp.zeros((capacity, 4)), jnp.zeros(capacity, jnp.int32), jnp.zeros((capacity, 2)), jnp.zeros((capacity, 4)))
  return params, params, optimizer.init(params), state, observation, ring, key, jnp.int32(0)


def tick(carry, _):
  params, target, opt_state, state, observation, ring, key, t = carry
  act_key, reset_key, sample_key = jax.random.split(jax.random.fold_in(key, t), 3)
  draw = jax.random.uniform(act_key)
  action = jnp.where(draw < EPSILON, (draw / EPSILON * 2).astype(jnp.int32), jnp.argmax(q_values(params, observation)))
  outcome = environment.step(key, state, action.astype(jnp.int32))
  place = t % capacity
  rows = (observation, action.astype(jnp.int32), jnp.stack([outcome.reward, outcome.discount]), outcome.observation)
  ring = tuple(kept.at[place].set(row) for kept, row in zip(ring, rows, strict=True))
  state, observation = jax.lax.cond(
    outcome.last, lambda: environment.reset(reset_key), lambda: (outcome.state, outcome.observation)
  )

  def learn(learned):
    params, target, opt_state = learned
    index = jax.random.randint(sample_key, (BATCH,), 0, jnp.minimum(t + 1, capacity))
    o, a, rd, o_t = (kept[index] for kept in ring)

    def loss(params):
      q = jnp.take_along_axis(q_values(params, o), a[:, None], 1)[:, 0]
      y = rd[:, 0] + GAMMA * rd[:, 1] * jnp.max(q_values(target, o_t), axis=1)
      return jnp.mean(optax.huber_loss(q, y))

    updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state)
    params = optax.apply_updates(params, updates)
    target = optax.periodic_update(params, target, t // options.every + 1, PERIOD)
    return params, target, opt_state

  due = (t >= START) & (t % options.every == 0)
  params, target, opt_state = jax.lax.cond(due, learn, lambda learned: learned, (params, target, opt_state))
  return (params, target, opt_state, state, observation, ring, key, t + 1), None


def run(carry, length):
  return jax.lax.scan(tick, carry, None, length=length)[0]


lift = jax.vmap if options.seeds > 1 else lambda f: f
keys = jax.random.split(jax.random.PRNGKey(0), options.seeds) if options.seeds > 1 else jax.random.PRNGKey(0)
carry = jax.jit(lift(init))(keys)
warm = jax.jit(lift(lambda carry: run(carry, 1000)), donate_argnums=0)
chunk = jax.jit(lift(lambda carry: run(carry, options.steps // 4)), donate_argnums=0)
carry = jax.block_until_ready(chunk(warm(carry)))
start = time.perf_counter()
for _ in range(3):
  carry = chunk(carry)
jax.block_until_ready(carry)
common.report(steps_per_second=options.steps // 4 * 3 * options.seeds / (time.perf_counter() - start))
