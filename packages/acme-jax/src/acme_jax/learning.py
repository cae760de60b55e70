"""The scaffolding of a learner: an agent supplies a state and a pure update, this does the rest.

  update(state, sample) -> (state, priorities [B] or None, metrics)

`metrics` is a dict of scalars with "loss" among them. Priorities, of 0 or more, are handed back with ε added.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from acme import core, counting, loggers, replay, types

S = TypeVar("S")
Metrics = dict[str, jax.Array]
Update = Callable[[S, replay.Sample], tuple[S, jax.Array | None, Metrics]]

PRIORITY_EPSILON = 1e-6  # ε of Schaul et al. 2015 (1511.05952), §3.3: an item without error may still be drawn.
_CHECK_EVERY = 16
_SMALL = 8192  # Elements of an array that costs more to pass than to copy.


class _Result(NamedTuple):
  """What one call of the update gave, some of it perhaps still being computed."""

  step: int
  keys: np.ndarray  # [B] of the items that were sampled
  priorities: Any  # [B], or None
  metrics: Metrics


class JaxLearner(core.Learner, Generic[S]):
  """Takes a sample, updates, hands back priorities, counts, logs.

  JAX computes in the background, so a step returns before its results are there: its priorities are handed back, and
  its loss checked, at the next step, which for a prioritised table is before the next sample is taken. In between the
  actor acts. What is still to be handed back is part of the saved state, so saving changes nothing.

  Where no priorities are wanted the host need not wait at all, and checks the loss of every 16th step only: one that is
  not finite makes all later ones so. It is also checked before each save.
  """

  def __init__(
    self,
    state: S,
    update: Update[S],
    dataset: Iterator[replay.Sample],
    *,
    variables: Callable[[S], dict[str, Any]],
    num_sgd_steps: int = 1,
    store: replay.Replay | None = None,
    table: str = "replay",
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
    log_seconds: float = 1.0,
  ) -> None:
    """Makes a learner.

    Args:
      state: the training state, a pytree of arrays; never donated, so that actors may hold its parameters.
      update: the pure update on one batch.
      dataset: gives batches, of `num_sgd_steps` times the batch size.
      variables: from a state, what actors may ask for by name; the first is what they ask for at every step.
      num_sgd_steps: updates in one step, all in one jitted scan.
      store: where priorities go; None where nobody wants them.
      table: the table whose priorities they are.
      logger: takes metrics, at most every `log_seconds`; None for nowhere.
      counter: counts `learner_steps`, SGD steps.
      log_seconds: the least time between two rows.
    """
    self._packing = Packing(state, lambda state: next(iter(variables(state).values())))
    self._state = self._packing.pack(state)
    self._update = jax.jit(self._packing.wrap(update if num_sgd_steps == 1 else scan(update, num_sgd_steps)))
    self._dataset = dataset
    self._get = variables
    self._num_sgd_steps = num_sgd_steps
    self._store = store
    self._table = table
    self._logger = logger
    self._counter = counting.Counter(counter, prefix="learner")
    self._log_seconds = log_seconds
    self._logged = -math.inf
    self._steps = 0
    self._result: _Result | None = None

  def step(self) -> None:
    """Takes one sample and learns from it.

    Raises:
      FloatingPointError: the loss is not a finite number; at the latest 16 steps after it became so.
    """
    if self._store is not None:
      self._settle()
    sample = next(self._dataset)
    self._state, priorities, metrics = self._update(self._state, _arrays(sample))
    if self._store is None and self._steps // self._num_sgd_steps % _CHECK_EVERY == 0:
      self._settle()  # Only now: the device has its next work already.
    self._steps += self._num_sgd_steps
    self._result = _Result(self._steps, sample.keys, priorities, metrics)
    counts = self._counter.increment(steps=self._num_sgd_steps)
    self._log(counts)

  def _settle(self) -> None:
    """Checks the loss of the last step, and hands its priorities back."""
    if self._result is None:
      return
    step, keys, priorities, metrics = self._result
    loss = float(metrics["loss"])
    if not math.isfinite(loss):
      raise FloatingPointError(
        f"The loss is {loss} at SGD step {step}: training has diverged, its parameters are of no use. Go back to the "
        "last checkpoint; look for very large rewards or observations, lower learning_rate or set max_gradient_norm."
      )
    if self._store is not None and priorities is not None:
      self._store.update_priorities(self._table, keys, np.asarray(priorities) + PRIORITY_EPSILON)
    self._result = None

  def _log(self, counts: dict[str, float]) -> None:
    if self._logger is None:
      return
    now = time.monotonic()
    if now - self._logged >= self._log_seconds:
      self._logged = now
      assert self._result is not None
      self._logger.write({**{name: float(value) for name, value in self._result.metrics.items()}, **counts})

  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    """Returns parameters by reference, as arrays on the device.

    Raises:
      KeyError: an unknown name.
    """
    known = self._get(self._state.rest)
    for name in names:
      if name not in known:
        raise KeyError(f"No variables are called {name!r}; known: {', '.join(known)}.")
    if any(name != next(iter(known)) for name in names):
      known = self._get(self._packing.unpack(self._state))
    return [known[name] for name in names]

  def save(self) -> types.State:
    """Returns the state as numpy arrays.

    Raises:
      FloatingPointError: the last loss is not finite: such a state is not worth a checkpoint.
    """
    pending = None
    if self._result is not None:
      step, keys, priorities, metrics = self._result
      loss = np.asarray(metrics["loss"])
      if not np.isfinite(loss):
        self._settle()
      pending = {
        "step": step,
        "keys": np.asarray(keys),
        "priorities": None if priorities is None else np.asarray(priorities),
        "loss": loss,
      }
    return {"steps": self._steps, "state": to_lists(self._packing.unpack(self._state)), "pending": pending}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned.

    Raises:
      ValueError: it is the state of another agent, network or config.
    """
    self._state = self._packing.pack(from_lists(self._packing.unpack(self._state), state["state"]))
    self._steps = state["steps"]
    pending = state["pending"]
    self._result = None
    if pending is not None:
      self._result = _Result(pending["step"], pending["keys"], pending["priorities"], {"loss": pending["loss"]})


class Packed(NamedTuple):
  """A state, most of it in one vector."""

  vector: jax.Array  # [P] float32
  rest: Any  # the state, None where its leaf is in the vector


class Packing(Generic[S]):
  """Keeps a state's small float32 leaves in one vector, but for some.

  A compiled function takes microseconds for each array that it is given or gives, and a small network's optimizer has
  dozens: in one vector they made DQN's update on a CPU a quarter faster (docs/performance.md).
  """

  def __init__(self, state: S, apart: Callable[[S], Any]) -> None:
    """Makes a packing for states like `state`; `apart` picks the leaves that stay as they are."""
    leaves, self._structure = jax.tree.flatten(state)
    kept = set(jax.tree.leaves(apart(jax.tree.unflatten(self._structure, range(len(leaves))))))
    packed = [leaf.dtype == jnp.float32 and leaf.size <= _SMALL and i not in kept for i, leaf in enumerate(leaves)]
    self._packed = packed
    self._shapes = [leaf.shape for leaf, inside in zip(leaves, packed, strict=True) if inside]
    self._ends = np.cumsum([math.prod(shape) for shape in self._shapes], dtype=int)[:-1]
    self.pack, self.unpack = jax.jit(self._pack), jax.jit(self._unpack)

  def wrap(self, update: Update[S]) -> Update[Packed]:
    """The update of a packed state."""

    def wrapped(state: Packed, sample: replay.Sample) -> tuple[Packed, jax.Array | None, Metrics]:
      unpacked, priorities, metrics = update(self._unpack(state), sample)
      # A metric that is not finite makes the loss so, which is what the host looks at.
      finite = jnp.all(jnp.isfinite(jnp.stack([jnp.asarray(value, jnp.float32) for value in metrics.values()])))
      metrics = metrics | {"loss": jnp.where(finite, metrics["loss"], jnp.nan)}
      return self._pack(unpacked), priorities, metrics

    return wrapped

  def _pack(self, state: S) -> Packed:
    leaves = jax.tree.leaves(state)
    inside = [jnp.ravel(leaf) for leaf, packed in zip(leaves, self._packed, strict=True) if packed]
    vector = jnp.concatenate([*inside, jnp.zeros(0)])
    rest = [None if packed else leaf for leaf, packed in zip(leaves, self._packed, strict=True)]
    return Packed(vector, jax.tree.unflatten(self._structure, rest))

  def _unpack(self, state: Packed) -> S:
    parts = jnp.split(state.vector, self._ends) if self._shapes else []
    inside = iter([jnp.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)])
    rest = iter(jax.tree.leaves(state.rest))
    return jax.tree.unflatten(self._structure, [next(inside if packed else rest) for packed in self._packed])


def scan(update: Update[S], num_steps: int) -> Update[S]:
  """The update that takes `num_steps` batches in one sample [num_steps · B, …], one after the other."""

  def scanned(state: S, sample: replay.Sample) -> tuple[S, jax.Array | None, Metrics]:
    def body(state: S, sample: replay.Sample) -> tuple[S, tuple[jax.Array | None, Metrics]]:
      state, priorities, metrics = update(state, sample)
      return state, (priorities, metrics)

    batches = jax.tree.map(lambda x: jnp.reshape(x, (num_steps, -1, *x.shape[1:])), sample)  # [num_steps, B, …]
    state, (priorities, metrics) = jax.lax.scan(body, state, batches)
    if priorities is not None:
      priorities = jnp.reshape(priorities, (-1,))  # [num_steps · B]
    return state, priorities, {name: jnp.mean(value) for name, value in metrics.items()}

  return scanned


def importance_weights(probabilities: Any, exponent: float) -> jax.Array:
  """w_i = (1/P_i)^β / max_j (1/P_j)^β over the batch [B]: [B], at most 1.

  The table's size cancels out. Reference: Schaul et al. 2015 (1511.05952), §3.4.
  """
  return (jnp.min(probabilities) / probabilities) ** exponent


def to_lists(state: Any) -> list[np.ndarray]:
  """The leaves of a pytree as numpy arrays, in order."""
  return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def from_lists(like: S, leaves: Sequence[np.ndarray]) -> S:
  """The pytree with the structure of `like` and the values of `leaves`.

  Raises:
    ValueError: a leaf is missing or over, or differs in shape or dtype; the message names the first that does.
  """
  expected, structure = jax.tree_util.tree_flatten_with_path(like)
  hint = "It is of another agent, network, environment or config."
  if len(leaves) != len(expected):
    raise ValueError(f"The saved state has {len(leaves)} arrays, expected {len(expected)}. {hint}")
  for (path, leaf), saved in zip(expected, leaves, strict=True):
    if saved.shape != leaf.shape or saved.dtype != leaf.dtype:
      raise ValueError(
        f"The saved state has {saved.dtype}{list(saved.shape)} at {jax.tree_util.keystr(path)}, "
        f"expected {leaf.dtype}{list(leaf.shape)}. {hint}"
      )
  return jax.tree_util.tree_unflatten(structure, [jnp.asarray(leaf) for leaf in leaves])


def _arrays(sample: replay.Sample) -> replay.Sample:
  """The part of a sample that an update may read, in 32 bits."""
  return replay.Sample(sample.data, (), sample.probabilities.astype(np.float32), ())  # type: ignore[arg-type]
