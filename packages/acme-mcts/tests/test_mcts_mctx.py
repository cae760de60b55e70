"""One leaf at a time and with the same bounds, the search visits what mctx's does, on random games."""

import numpy as np
import pytest

pytest.importorskip("mctx", reason="needs pip install mctx")

import jax
import jax.numpy as jnp
import mctx

from acme_mcts import config as mcts_config
from acme_mcts import search

B, A, DEPTH = 20, 3, 3  # Games, actions, and moves until the end; deeper than they last, discounts are 0.
NODES = sum(A**d for d in range(DEPTH + 1))  # The child of node i by action a is i A + a + 1.
SIMULATIONS = 40
LOW, HIGH = -6.0, 6.0  # Which hold every return.


def make_games():
  """Rewards and values of nodes and logits of their actions, [B, M] and [B, M, A]; float32 on both sides."""
  rng = np.random.default_rng(0)
  rewards, values = rng.uniform(-1, 1, (2, B, NODES)).astype(np.float32)
  values[:, NODES - A**DEPTH :] = 0
  return rewards, values, rng.normal(size=(B, NODES, A)).astype(np.float32)


class Game:
  """One of them, as the search's model."""

  def __init__(self, rewards, values, logits):
    self._tables = rewards, values, logits

  def root(self, observation, rng):
    return self._leaves(np.array([0]))

  def expand(self, states, actions, rng):
    return self._leaves(np.array(states) * A + actions + 1)

  def _leaves(self, nodes):
    rewards, values, logits = (table[nodes] for table in self._tables)
    last = nodes >= NODES - A**DEPTH
    return search.Leaves(list(nodes), rewards, np.where(last, 0.0, 1.0), last, logits, values)


@jax.jit
def search_by_mctx(rewards, values, logits, discount, c):
  """Visits and Q of the roots' actions, [B, A]."""

  def q_transform(tree, node):
    q = jnp.where(tree.children_visits[node] > 0, tree.qvalues(node), tree.node_values[node])
    return (q - LOW) / (HIGH - LOW)

  def expand(params, key, action, node):
    node = node * A + action + 1
    at = jnp.minimum(node, NODES - 1)  # mctx walks on where an episode is over; a discount of 0 hides it.
    last = node >= NODES - A**DEPTH
    one = jnp.arange(B)
    found = mctx.RecurrentFnOutput(
      reward=rewards[one, at],
      discount=jnp.where(last, 0.0, discount),
      prior_logits=logits[one, at],
      value=values[one, at],
    )
    return found, jnp.where(last, NODES, node)

  root = mctx.RootFnOutput(prior_logits=logits[:, 0], value=values[:, 0], embedding=jnp.zeros(B, jnp.int32))
  output = mctx.muzero_policy(
    (), jax.random.PRNGKey(0), root, expand, SIMULATIONS, qtransform=q_transform, dirichlet_fraction=0.0,
    pb_c_init=c, pb_c_base=1e12)  # fmt: skip
  summary = output.search_tree.summary()
  return summary.visit_counts, summary.qvalues


@pytest.mark.parametrize(("discount", "c"), [(1.0, 1.25), (0.9, 0.5)])
def test_visits_are_those_of_mctx(discount, c):
  games = make_games()
  visits, q_values = map(np.asarray, search_by_mctx(*games, discount, c))
  config = mcts_config.MCTSConfig(
    num_simulations=SIMULATIONS, evaluation_batch=1, discount=discount, puct_constant=c, min_return=LOW,
    max_return=HIGH)  # fmt: skip
  for i in range(B):
    game = Game(*(table[i] for table in games))
    found = search.search(game, None, config, np.random.default_rng(0), noise=False)
    np.testing.assert_array_equal(found.visits, visits[i], err_msg=f"game {i}")
    walked = found.visits > 0
    np.testing.assert_allclose(found.q_values[walked], q_values[i][walked], rtol=1e-4, atol=1e-5)
