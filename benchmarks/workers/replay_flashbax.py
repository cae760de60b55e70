"""Flashbax's item buffer and its prioritised one, jitted, with donated state: each item a whole transition."""

import argparse

import common
import flashbax
import jax
import jax.numpy as jnp
import numpy as np

BATCH, BLOCK = 256, 256

parser = argparse.ArgumentParser()
parser.add_argument("--kind", choices=["vector", "image"], default="vector")
parser.add_argument("--size", type=int, default=100_000)
options = parser.parse_args()

observations = common.transitions(options.kind, BLOCK)


def make(add_batches):
  """The buffer's functions, jitted, and an empty state."""
  buffer = flashbax.make_item_buffer(options.size, BATCH, BATCH, add_batches=add_batches)
  item = {
    "observation": jnp.asarray(observations[0]),
    "action": jnp.ones((), jnp.int32),
    "reward": jnp.ones(()),
    "discount": jnp.ones(()),
    "next_observation": jnp.asarray(observations[1]),
  }
  return jax.jit(buffer.add, donate_argnums=0), jax.jit(buffer.sample), buffer.init(item)


def items(rows):
  """The transitions that start at `rows`."""
  ones = np.ones(np.shape(rows), np.float32)
  return {
    "observation": observations[rows],
    "action": ones.astype(np.int32),
    "reward": ones,
    "discount": ones,
    "next_observation": observations[rows + 1],
  }


def singly():
  """One item at a time."""
  global state
  for t in range(BLOCK):
    state = add(state, items(t))
  jax.block_until_ready(state)


def in_blocks():
  """A block of items at a time."""
  global state
  for _ in range(10):
    state = add(state, block)
  jax.block_until_ready(state)


def draw():
  """One batch, at the host as NumPy arrays."""
  global key
  key, sample_key = jax.random.split(key)
  jax.tree.map(np.asarray, sample(state, sample_key).experience)


block = items(np.arange(BLOCK))
add, sample, state = make(add_batches=False)
inserts = common.rate(singly, BLOCK)
del state
add, sample, state = make(add_batches=True)
blocks = common.rate(in_blocks, 10 * BLOCK)
for _ in range(options.size // BLOCK + 1):
  state = add(state, block)
key = jax.random.key(0)
common.report(
  inserts_per_second=inserts,
  block_inserts_per_second=blocks,
  samples_per_second=common.rate(draw, BATCH),
  bytes_per_transition=sum(leaf.nbytes for leaf in jax.tree.leaves(state.experience)) / options.size,
)
