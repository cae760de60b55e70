"""The search on games small enough to solve by hand; no framework."""

import math
import subprocess
import sys

import numpy as np
import pytest

from acme_mcts import config as mcts_config
from acme_mcts import search


class Game:
  """A deterministic game given as {state: {action: (next state, reward, discount)}}; other states are terminal."""

  def __init__(self, moves, num_actions=2, values=None, logits=None):
    self._moves = moves
    self._num_actions = num_actions
    self._values = values or {}
    self._logits = logits or {}
    self.batches = []

  def root(self, observation, rng):
    return self._leaves([observation], [0.0], [1.0])

  def expand(self, states, actions, rng):
    self.batches.append(len(states))
    steps = [self._moves[state][int(action)] for state, action in zip(states, actions, strict=True)]
    return self._leaves(*zip(*steps, strict=True))

  def _leaves(self, states, rewards, discounts):
    logits = [self._logits.get(state, [0.0] * self._num_actions) for state in states]
    values = [self._values.get(state, 0.0) for state in states]
    terminals = [state not in self._moves for state in states]
    return search.Leaves(
      states, np.array(rewards), np.array(discounts), np.array(terminals), np.array(logits), np.array(values)
    )


def full_tree(depth, num_actions, reward):
  """The game whose states are the actions so far, with `reward(actions)` at the end."""
  moves, states = {}, [()]
  for length in range(1, depth + 1):
    for state in states:
      last = length == depth
      moves[state] = {
        a: ((*state, a), reward((*state, a)) if last else 0.0, 0.0 if last else 1.0) for a in range(num_actions)
      }
    states = [(*state, a) for state in states for a in range(num_actions)]
  return moves


def run(game, root, noise=False, seed=0, **changes):
  changes = {"evaluation_batch": 1, "discount": 1.0, **changes}
  return search.search(game, root, mcts_config.MCTSConfig(**changes), np.random.default_rng(seed), noise=noise)


def test_search_imports_no_framework():
  code = (
    "import sys, acme_mcts, acme_mcts.search, acme_mcts.models;"
    "sys.exit(any(name in sys.modules for name in ('tensorflow', 'sonnet', 'jax', 'acme_replay', 'acme_tf')))"
  )
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
  ("q", "priors", "visits", "total", "c", "expected"),
  [
    ([0.0, 0.0], [0.5, 0.5], [0, 0], 1, 1.0, [0.5, 0.5]),
    ([0.0, 0.0], [0.9, 0.1], [0, 0], 1, 2.0, [1.8, 0.2]),
    ([0.2, 0.7], [0.5, 0.5], [3, 0], 4, 1.0, [0.2 + 0.25, 0.7 + 1.0]),
    ([1.0, 0.0], [0.25, 0.75], [8, 7], 16, 1.25, [1 + 1.25 * 4 * 0.25 / 9, 1.25 * 4 * 0.75 / 8]),
  ],
)
def test_puct_by_hand(q, priors, visits, total, c, expected):
  np.testing.assert_allclose(search.puct(np.array(q), np.array(priors), np.array(visits), total, c), expected)


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 0.3, -0.7, 1e-6, 1e9])
@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("num_actions", [2, 4])
def test_equal_values_get_equal_visits(num_actions, ends, reward):
  """(.1 + .1 + .1) / 3 is no .1: differences of rounding's size must not fill the whole range of Q̄."""
  discount, value = (0.0, 0.0) if ends else (1.0, reward / (1 - 0.99))
  moves = {"root": {a: ("end" if ends else "root", reward, discount) for a in range(num_actions)}}
  game = Game(moves, num_actions, {"root": value})
  visits = run(game, "root", num_simulations=50, discount=0.99).visits
  assert np.ptp(visits) <= 1


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_values_that_differ_are_told_apart_whatever_their_scale(scale):
  game = Game({"root": {0: ("a", scale, 0.0), 1: ("b", 1.001 * scale, 0.0)}})
  visits = run(game, "root", num_simulations=50).visits
  assert visits[1] > 2 * visits[0]


def test_visit_counts_of_a_bandit_by_hand():
  # Two moves, both end the game: left gives 0, right gives 1. Uniform prior, c = 1. Q̄ is Q moved to [0, 1].
  #   1: all equal, the first: left, G = 0.                     N = (1, 0); no range yet, so Q̄ = (0, 0)
  #   2: left 0 + .5·√2/2 = .35, right 0 + .5·√2 = .71: right.  N = (1, 1); Q̄ = (0, 1)
  #   3: left .5·√3/2 = .43, right 1 + .43: right.              N = (1, 2)
  #   4: left .5·√4/2 = .5, right 1 + .5·√4/3 = 1.33: right, and so on until, with n = N(s) = 2 + N(right),
  #      left's √n/4 is more than right's 1 + .5·√n/(n − 1): n = 19 gives 1.0897 < 1.1211, n = 20 1.11803 > 1.11769,
  #      so simulation 20 is left's second.
  game = Game({"s": {0: ("l", 0.0, 0.0), 1: ("r", 1.0, 0.0)}})
  for simulations, visits in (
    (1, [1, 0]),
    (2, [1, 1]),
    (3, [1, 2]),
    (10, [1, 9]),
    (19, [1, 18]),
    (20, [2, 18]),
    (21, [2, 19]),
  ):
    result = run(game, "s", num_simulations=simulations, puct_constant=1.0)
    np.testing.assert_array_equal(result.visits, visits)
  np.testing.assert_array_equal(result.q_values, [0, 1])
  np.testing.assert_allclose(result.value, 19 / 22)  # The root's own estimate, 0, is the first visit.
  assert result.best_action() == 1
  assert (result.depth, result.max_depth) == (1, 1)
  np.testing.assert_allclose(result.policy, [2 / 21, 19 / 21])
  p = np.array([2, 19]) / 21
  np.testing.assert_allclose(result.entropy, -(p * np.log(p)).sum())


@pytest.mark.parametrize("evaluation_batch", [1, 3, 8, 64])
@pytest.mark.parametrize("winning", [(0, 0, 0), (1, 0, 1), (2, 1, 0), (2, 2, 2)])
def test_finds_the_one_winning_line(winning, evaluation_batch):
  game = Game(full_tree(3, 3, lambda actions: float(actions == winning)), num_actions=3)
  result = run(game, (), num_simulations=80, evaluation_batch=evaluation_batch)
  assert result.visits.sum() == 80
  assert result.best_action() == winning[0]
  assert result.max_depth == 3
  assert max(game.batches) <= evaluation_batch
  if evaluation_batch > 1:
    assert len(game.batches) < sum(game.batches)


@pytest.mark.parametrize(
  ("visits", "returns", "waiting", "q"),
  [
    # Edges 0 and 1 have Q = 2/2 and 1/4, edge 2 the node's value (5 + 2 + 1) / (1 + 2 + 4) = 8/7, its own estimate 5.
    # Q̄ = Q/2, as Q lies within [0, 2]; a walk that waits is one more visit of Q̄ = 0.
    ([2, 4, 0], [2.0, 1.0, 0.0], [0, 0, 0], [1 / 2, 1 / 8, 4 / 7]),
    ([2, 4, 0], [2.0, 1.0, 0.0], [1, 0, 0], [1 / 2 * 2 / 3, 1 / 8, 4 / 7]),
    ([2, 4, 0], [2.0, 1.0, 0.0], [2, 4, 1], [1 / 2 * 2 / 4, 1 / 8 * 4 / 8, 0]),  # Nothing but losses on edge 2.
    ([0, 0, 0], [0.0, 0.0, 0.0], [0, 1, 0], [1, 0, 1]),  # The node's value is its estimate, 5, over the range's end.
  ],
)
def test_scores_of_a_node_by_hand(visits, returns, waiting, q):
  c, priors = 1.5, np.array([0.5, 0.3, 0.2])
  game = Game({}, num_actions=3, values={"s": 5.0}, logits={"s": np.log(priors)})
  config = mcts_config.MCTSConfig(puct_constant=c, min_return=0.0, max_return=2.0)
  tree = search.Tree(game.root("s", None), config)
  tree.visits[0], tree.returns[0], tree.waiting[0] = visits, returns, waiting
  n = np.array(visits) + waiting
  np.testing.assert_allclose(tree.scores(0), q + c * priors * math.sqrt(1 + n.sum()) / (1 + n))


def test_waiting_walks_spread_and_leave_nothing_behind():
  game = Game(full_tree(4, 3, sum), num_actions=3)
  config = mcts_config.MCTSConfig(num_simulations=30, evaluation_batch=3, discount=1.0)
  tree = search.Tree(game.root((), None), config)
  first = tree.walk(3)
  assert [path[0][1] for path in first] == [0, 1, 2]  # With a uniform prior a walk that waits sends the next elsewhere.
  assert tree.walk(3) == []  # Every edge of the root is waited for.
  tree.grow(first, game.expand([tree.states[0]] * 3, np.arange(3), None))
  assert not tree.waiting.any()
  np.testing.assert_array_equal(tree.visits[0], [1, 1, 1])


@pytest.mark.parametrize(("discount", "best"), [(1.0, 1), (0.9, 1), (0.5, 0)])
def test_discount_weighs_soon_against_late(discount, best):
  # Left pays .6 at once, right pays 1 two steps on: γ² · 1 is .81 at γ = .9, .25 at γ = .5.
  game = Game({
    "s": {0: ("l", 0.6, 0.0), 1: ("r1", 0.0, 1.0)},
    "r1": {0: ("r2", 0.0, 1.0), 1: ("r2", 0.0, 1.0)},
    "r2": {0: ("e", 1.0, 0.0), 1: ("e", 1.0, 0.0)},
  })  # fmt: skip
  result = run(game, "s", num_simulations=400, discount=discount)
  assert result.best_action() == best
  if best == 1:
    assert 0.5 < result.q_values[1] <= discount**2


def test_environment_discount_and_terminals_end_returns():
  # A termination is worth its reward, whatever its value estimate; a truncation (d = 1) its reward and its value.
  game = Game(
    {"s": {0: ("terminated", 1.0, 0.0), 1: ("truncated", 1.0, 1.0)}}, values={"terminated": 99.0, "truncated": 5.0}
  )
  result = run(game, "s", num_simulations=20, discount=0.5)
  np.testing.assert_allclose(result.q_values, [1.0, 1.0 + 0.5 * 5.0])
  assert sum(game.batches) == 2  # A terminal node is asked about once, and never expanded.
  half = Game({"s": {0: ("a", 0.0, 0.5), 1: ("a", 0.0, 1.0)}}, values={"a": 4.0})
  np.testing.assert_allclose(run(half, "s", num_simulations=6, discount=0.5).q_values, [1.0, 2.0])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_visits_do_not_depend_on_the_scale_of_rewards(scale):
  rewards = {}
  rng = np.random.default_rng(1)

  def reward(actions):
    return scale * rewards.setdefault(actions, round(rng.uniform(-1, 1), 2))

  moves = full_tree(3, 3, lambda actions: reward(actions))
  expected = {a: {k: (s, r / scale, d) for k, (s, r, d) in m.items()} for a, m in moves.items()}
  scaled, plain = (run(Game(m, 3), (), num_simulations=50) for m in (moves, expected))
  np.testing.assert_array_equal(scaled.visits, plain.visits)
  shifted = {a: {k: (s, r - 7 * scale * (d == 0), d) for k, (s, r, d) in m.items()} for a, m in moves.items()}
  values = {(): -7.0 * scale} | {a: -7.0 * scale for a in moves}
  assert run(Game(shifted, 3, values), (), num_simulations=50).best_action() == scaled.best_action()


def test_known_bounds_keep_small_differences_small():
  game = Game({"s": {0: ("l", 0.0, 0.0), 1: ("r", -0.001, 0.0)}})
  assert run(game, "s", num_simulations=50).policy[0] > 0.9
  np.testing.assert_allclose(run(game, "s", num_simulations=50, min_return=0.0, max_return=1.0).policy, 0.5, atol=0.02)
  np.testing.assert_array_equal(  # Bounds that the tree goes beyond give way.
    run(game, "s", num_simulations=50, max_return=-0.5).visits, run(game, "s", num_simulations=50).visits
  )


def test_prior_leads_where_values_are_equal():
  game = Game(full_tree(2, 3, lambda actions: 0.0), 3, logits={(): list(np.log([0.1, 0.2, 0.7]))})
  result = run(game, (), num_simulations=100)
  np.testing.assert_allclose(result.priors, [0.1, 0.2, 0.7])
  np.testing.assert_allclose(result.policy, [0.1, 0.2, 0.7], atol=0.03)


def test_root_noise_changes_the_prior_by_exactly_its_fraction():
  priors = np.array([0.1, 0.2, 0.7])
  for fraction in (0.0, 0.25, 1.0):
    noisy = search.with_noise(priors, 0.3, fraction, np.random.default_rng(5))
    eta = np.random.default_rng(5).dirichlet([0.3] * 3)
    np.testing.assert_allclose(noisy, (1 - fraction) * priors + fraction * eta)
    np.testing.assert_allclose(noisy.sum(), 1)
  game = Game(full_tree(2, 3, lambda actions: 0.0), 3, logits={(): list(np.log(priors))})
  result = run(game, (), noise=True, seed=5, num_simulations=100, dirichlet_alpha=0.3, noise_fraction=0.25)
  np.testing.assert_allclose(result.priors, 0.75 * priors + 0.25 * np.random.default_rng(5).dirichlet([0.3] * 3))
  np.testing.assert_allclose(result.policy, result.priors, atol=0.05)  # It reaches the visits.


def test_alpha_says_how_spiky_the_noise_is():
  rng = np.random.default_rng(0)
  flat, spiky = (
    np.mean([search.with_noise(np.full(4, 0.25), alpha, 1.0, rng).max() for _ in range(300)]) for alpha in (100.0, 0.03)
  )
  assert flat < 0.35 and spiky > 0.9


def test_temperature_of_the_drawn_action():
  result = search.SearchResult(np.array([0, 1, 3]), np.zeros(3), np.full(3, 1 / 3), 0.0, 1.0, 1)
  rng = np.random.default_rng(0)
  for temperature, expected in ((1.0, [0, 0.25, 0.75]), (0.5, [0, 0.1, 0.9]), (1e-3, [0, 0, 1])):
    drawn = [result.sample_action(temperature, rng) for _ in range(2000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 2000, expected, atol=0.03)


def test_equal_visits_are_decided_by_q():
  result = search.SearchResult(np.array([5, 5, 1]), np.array([0.1, 0.4, 9.0]), np.full(3, 1 / 3), 0.0, 1.0, 1)
  assert result.best_action() == 1


def test_same_seed_same_search():
  game = Game(full_tree(3, 3, sum), 3)
  a, b, c = (run(game, (), noise=True, seed=seed, num_simulations=40) for seed in (1, 1, 2))
  np.testing.assert_array_equal(a.visits, b.visits)
  assert not np.array_equal(a.priors, c.priors)


def test_depth_is_counted_in_edges():
  chain = {i: {0: (i + 1, 0.0, 1.0)} for i in range(10)}
  result = run(Game(chain, 1), 0, num_simulations=4)
  assert (result.depth, result.max_depth) == (2.5, 4)
  assert math.isclose(result.entropy, 0)
