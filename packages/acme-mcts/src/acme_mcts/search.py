"""Monte Carlo tree search in NumPy: it knows models, and no framework.

A simulation walks from the root by PUCT (Silver et al. 2018, methods; Rosin 2011) to an edge (s, a) without a node,

  a = argmax_a  Q̄(s, a) + c · P(s, a) · √N(s) / (1 + N(s, a)),

asks the model for the node that the edge leads to, and takes that node's value back along its path:

  G ← r(s, a) + γ d(s, a) G,    Q(s, a) = the mean of the G that came through (s, a).

Q̄ is Q moved to [0, 1] by the least and largest Q that the tree has seen (Schrittwieser et al. 2019, 1911.08265,
appendix B), and for an edge not yet walked the mean value of its node; bounds that are known beforehand widen that
range. Where they differ by no more than rounding does, all Q̄ are 0. N(s) counts the visits of s, its first one too.

`evaluation_batch` simulations are walked before the model is asked about all of them at once. Each walk that waits
counts on its edges as one more visit, with the worst Q̄, 0: a virtual loss (Chaslot et al. 2008), which sends the
others elsewhere.

Deviations from Silver et al. 2018: c is constant (its logarithmic growth matters after thousands of simulations only),
the tree begins anew at each move, and rewards and discounts are those of the model.

Shapes: A actions, K leaves, M nodes.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from acme import types
from acme_mcts import config as mcts_config

_PRECISION = float(np.finfo(np.float32).eps)  # In which models speak: Q that differ by less, of the largest, are equal.

Path = list[tuple[int, int]]  # (node, action) from the root on


class Leaves(NamedTuple):
  """What a model says of K nodes."""

  states: Sequence[Any]  # K, whatever the model itself wants back in `expand`
  rewards: np.ndarray  # [K] r on the way there
  discounts: np.ndarray  # [K] d on the way there, 0 at a termination
  terminals: np.ndarray  # [K] bool: the episode is over there, so that nothing follows
  logits: np.ndarray  # [K, A] of the prior P
  values: np.ndarray  # [K] estimated return from there


class Model(Protocol):
  """What the search plans with."""

  def root(self, observation: types.NestedArray, rng: np.random.Generator) -> Leaves:
    """Returns the node of an observation, K = 1; its reward and discount are not used."""

  def expand(self, states: Sequence[Any], actions: np.ndarray, rng: np.random.Generator) -> Leaves:
    """Returns the nodes that `actions` [K] lead to from `states`."""


class SearchResult(NamedTuple):
  """What a search found out about its root."""

  visits: np.ndarray  # [A] int, N(root, a): their sum is the number of simulations
  q_values: np.ndarray  # [A] Q(root, a); the root's value where an edge was not walked
  priors: np.ndarray  # [A] P(root, a), noise included
  value: float  # mean return of the root's visits
  depth: float  # mean number of edges that a simulation walked
  max_depth: int

  @property
  def policy(self) -> np.ndarray:
    """The visits' shares: [A] float32."""
    return (self.visits / self.visits.sum()).astype(np.float32)

  @property
  def entropy(self) -> float:
    """The entropy of `policy`, in nats."""
    p = self.visits[self.visits > 0] / self.visits.sum()
    return float(-np.sum(p * np.log(p)))

  def best_action(self) -> int:
    """The action with most visits; of equals the one with the larger Q."""
    return int(np.lexsort((self.q_values, self.visits))[-1])

  def sample_action(self, temperature: float, rng: np.random.Generator) -> int:
    """Draws an action with probability ∝ visits^(1/temperature)."""
    with np.errstate(divide="ignore"):
      p = softmax(np.log(self.visits) / temperature)
    return int(rng.choice(len(p), p=p))


def search(
  model: Model, observation: types.NestedArray, config: mcts_config.MCTSConfig, rng: np.random.Generator, *, noise: bool
) -> SearchResult:
  """Runs `config.num_simulations` simulations from an observation.

  Args:
    model: what to plan with.
    observation: the root's.
    config: the search's numbers are read.
    rng: of the root's noise, and of the model where that is random; consumed.
    noise: whether the root's prior is mixed with Dirichlet noise, as for acting while training.
  """
  root = model.root(observation, rng)
  tree = Tree(root, config)
  if noise:
    tree.priors[0] = with_noise(tree.priors[0], config.dirichlet_alpha, config.noise_fraction, rng)
  while tree.simulations < config.num_simulations:
    paths = tree.walk(min(config.evaluation_batch, config.num_simulations - tree.simulations))
    if paths:
      ends = [path[-1] for path in paths]
      leaves = model.expand([tree.states[node] for node, _ in ends], np.array([action for _, action in ends]), rng)
      tree.grow(paths, leaves)
  return tree.result()


def with_noise(priors: np.ndarray, alpha: float, fraction: float, rng: np.random.Generator) -> np.ndarray:
  """(1 − fraction) · P + fraction · η, η ~ Dirichlet(alpha): [A]. Reference: Silver et al. 2018, methods."""
  return (1 - fraction) * priors + fraction * rng.dirichlet([alpha] * len(priors))


def puct(q: np.ndarray, priors: np.ndarray, visits: np.ndarray, node_visits: int, c: float) -> np.ndarray:
  """Q̄ + c P √N(s) / (1 + N(s, a)): [A]."""
  return q + c * math.sqrt(node_visits) * priors / (1 + visits)


def softmax(logits: np.ndarray) -> np.ndarray:
  """Probabilities [..., A] that sum to 1 in float64."""
  exp = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
  return np.asarray(exp / np.sum(exp, axis=-1, keepdims=True), np.float64)


class Tree:
  """The nodes and edges of one search; node 0 is the root."""

  def __init__(self, root: Leaves, config: mcts_config.MCTSConfig) -> None:
    nodes, actions = config.num_simulations + 1, root.logits.shape[-1]
    self._c = config.puct_constant
    self._discount = config.discount
    self.states = [root.states[0]]
    self.values = [float(root.values[0])]  # [M] a node's own estimate
    self.terminals = [False]  # [M]
    self.priors = np.empty((nodes, actions))
    self.priors[0] = softmax(root.logits[0])
    self.children = np.full((nodes, actions), -1)  # the node that an edge leads to
    self.visits = np.zeros((nodes, actions), np.int64)
    self.waiting = np.zeros((nodes, actions), np.int64)  # walks through an edge that have no value yet
    self.returns = np.zeros((nodes, actions))  # sums of G
    self.rewards = np.zeros((nodes, actions))
    self.discounts = np.zeros((nodes, actions))
    self.low = math.inf if config.min_return is None else config.min_return  # of all Q
    self.high = -math.inf if config.max_return is None else config.max_return
    self.simulations = 0
    self._depths: list[int] = []

  def walk(self, number: int) -> list[Path]:
    """Walks up to `number` simulations, and returns the paths to new edges; those to terminal nodes are done at once.

    It stops early where a walk comes to an edge that another one waits for.
    """
    paths: list[Path] = []
    for _ in range(number):
      node, path = 0, []
      while True:
        action = int(np.argmax(self.scores(node)))
        path.append((node, action))
        child = int(self.children[node, action])
        if child < 0 or self.terminals[child]:
          break
        node = child
      if child >= 0:
        self._back_up(path, self.values[child])
      elif self.waiting[node, action]:
        break
      else:
        paths.append(path)
        self._wait(path, 1)
    return paths

  def grow(self, paths: Sequence[Path], leaves: Leaves) -> None:
    """Adds the nodes that paths lead to, and takes their values back."""
    priors = softmax(leaves.logits)  # [K, A]
    for i, path in enumerate(paths):
      node, action = path[-1]
      child = len(self.states)
      self.children[node, action] = child
      self.rewards[node, action] = leaves.rewards[i]
      self.discounts[node, action] = leaves.discounts[i]
      self.priors[child] = priors[i]
      self.states.append(leaves.states[i])
      self.values.append(float(leaves.values[i]))
      self.terminals.append(bool(leaves.terminals[i]))
      self._wait(path, -1)
      self._back_up(path, self.values[child])

  def scores(self, node: int) -> np.ndarray:
    """PUCT of a node's edges, walks that wait counted as lost: [A]."""
    visits, waiting = self.visits[node], self.waiting[node]
    total = 1 + int(visits.sum())
    q = np.where(visits > 0, self.returns[node] / np.maximum(visits, 1), self.value(node))
    scale = self.high - self.low
    told_apart = scale > _PRECISION * max(abs(self.low), abs(self.high))
    q = np.clip((q - self.low) / scale, 0, 1) if told_apart else np.zeros_like(q)
    walked = visits + waiting
    q *= np.where(waiting > 0, visits / np.maximum(walked, 1), 1)
    return puct(q, self.priors[node], walked, total + int(waiting.sum()), self._c)

  def value(self, node: int) -> float:
    """The mean return of a node's visits, its own estimate being the first."""
    return float((self.values[node] + self.returns[node].sum()) / (1 + self.visits[node].sum()))

  def result(self) -> SearchResult:
    """What is known about the root."""
    visits = self.visits[0].copy()
    q = np.where(visits > 0, self.returns[0] / np.maximum(visits, 1), self.value(0))
    return SearchResult(
      visits, q, self.priors[0].copy(), self.value(0), float(np.mean(self._depths)), max(self._depths)
    )

  def _wait(self, path: Path, change: int) -> None:
    for node, action in path:
      self.waiting[node, action] += change

  def _back_up(self, path: Path, value: float) -> None:
    for node, action in reversed(path):
      value = self.rewards[node, action] + self._discount * self.discounts[node, action] * value
      self.visits[node, action] += 1
      self.returns[node, action] += value
      q = self.returns[node, action] / self.visits[node, action]
      self.low, self.high = min(self.low, q), max(self.high, q)
    self.simulations += 1
    self._depths.append(len(path))
