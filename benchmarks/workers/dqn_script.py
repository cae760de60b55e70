"""The limit: DQN on CartPole by hand, in one script, with no framework between its parts.

The same algorithm and numbers as `dqn_ours.py`: uniform 1-step replay, no double Q, Huber loss, gradients clipped to
norm 10, Adam, a target network copied every 100 SGD steps, ε 0.05 throughout.
"""

import argparse
import time

import common
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax

HIDDEN, BATCH, SIZE, DISCOUNT, EPSILON, TARGET_PERIOD = 64, 64, 100_000, 0.99, 0.05, 100

parser = argparse.ArgumentParser()
parser.add_argument("--every", type=int, default=1, help="environment steps for each SGD step")
parser.add_argument("--warmup", type=int, default=500)
parser.add_argument("--steps", type=int, default=3000)
parser.add_argument("--default-dispatch", action="store_true", help="JAX as it comes, not as `acme run` sets it")
options = parser.parse_args()
if not options.default_dispatch:
  common.compute_at_once()

# Network.

random = np.random.default_rng(0)
sizes = [4, HIDDEN, HIDDEN, 2]
params = [
  (jnp.asarray(random.normal(size=(i, o), scale=i**-0.5), jnp.float32), jnp.zeros(o))
  for i, o in zip(sizes[:-1], sizes[1:], strict=True)
]


def q_values(params, x):
  for w, b in params[:-1]:
    x = jax.nn.relu(x @ w + b)
  w, b = params[-1]
  return x @ w + b


@jax.jit
def act(params, observation):
  return jnp.argmax(q_values(params, observation))


# Learner.

optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1e-3))


@jax.jit
def update(state, observation, action, reward, discount, next_observation):
  params, target_params, opt_state, steps = state

  def loss(params):
    q = jnp.take_along_axis(q_values(params, observation), action[:, None], axis=1)[:, 0]
    target = reward + DISCOUNT * discount * jnp.max(q_values(target_params, next_observation), axis=1)
    return jnp.mean(optax.huber_loss(q, target))

  gradients = jax.grad(loss)(params)
  updates, opt_state = optimizer.update(gradients, opt_state)
  params = optax.apply_updates(params, updates)
  steps = steps + 1
  target_params = optax.periodic_update(params, target_params, steps, TARGET_PERIOD)
  return params, target_params, opt_state, steps


state = (params, params, optimizer.init(params), jnp.zeros((), jnp.int32))

# Replay.

observations = np.zeros((SIZE, 4), np.float32)
next_observations = np.zeros((SIZE, 4), np.float32)
actions = np.zeros(SIZE, np.int32)
rewards = np.zeros(SIZE, np.float32)
discounts = np.zeros(SIZE, np.float32)

# The loop.

environment = gymnasium.make("CartPole-v1")
observation, _ = environment.reset(seed=0)
start = 0.0
for step in range(options.warmup + options.steps):
  if step == options.warmup:
    jax.block_until_ready(state)
    start = time.perf_counter()
  if random.random() < EPSILON:
    action = int(random.integers(2))
  else:
    action = int(act(state[0], observation))
  next_observation, reward, terminated, truncated, _ = environment.step(action)
  i = step % SIZE
  observations[i] = observation
  actions[i] = action
  rewards[i] = reward
  discounts[i] = 0.0 if terminated else 1.0
  next_observations[i] = next_observation
  inserted = step + 1
  observation = environment.reset()[0] if terminated or truncated else next_observation
  if inserted >= BATCH and inserted % options.every == 0:
    rows = random.integers(min(inserted, SIZE), size=BATCH)
    state = update(state, observations[rows], actions[rows], rewards[rows], discounts[rows], next_observations[rows])
jax.block_until_ready(state)
common.report(steps_per_second=options.steps / (time.perf_counter() - start))
