"""The learner: takes a program's update through samples, hands back priorities, counts, logs.

update(state, sample) -> (state, priorities [B] or None, metrics)
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from acme import builders, core, counting, learning_loop, replay, types
from acme_jax import packing
from acme_jax.program import PARAMS, Evaluate, Metrics, Program, Update

S = TypeVar("S")

_CHECK_EVERY = 16


class _Result(NamedTuple):
  """What one call of the update gave, some of it perhaps still being computed."""

  step: int
  keys: np.ndarray  # [B] of the items that were sampled
  priorities: Any  # [B], or None
  metrics: Metrics


class _Best(NamedTuple):
  """What evaluations have come to."""

  loss: float = math.inf  # the lowest
  stale: int = 0  # evaluations since
  variables: Any = None  # all of that evaluation by name; None before the first


class Learner(core.Learner, Generic[S]):
  """Takes a sample, updates, hands back priorities, counts, logs.

  JAX computes in the background, so a step returns before its results are there: its priorities are handed back, and
  its loss checked, at the next step, which for a prioritised table is before the next sample is taken. In between the
  actor acts. What is still to be handed back is part of the saved state, so saving changes nothing.

  Where the program can be evaluated on what is held out, `evaluate` does, and keeps the variables of the lowest loss:
  from then on they are the ones that it gives, to actors, too.

  Where no priorities are wanted the host need not wait at all, and checks the loss of every 16th step only: one that is
  not finite makes all later ones so. It is also checked before each save.
  """

  def __init__(
    self,
    agent: Program[S, Any, Any],
    inputs: builders.LearnerInputs,
    *,
    num_sgd_steps: int = 1,
    log_seconds: float = 1.0,
  ) -> None:
    """Makes a learner.

    Args:
      agent: its state is never donated, so that actors may hold parameters of it.
      inputs: the dataset gives batches of `num_sgd_steps` times the batch size; `learner_steps` counts SGD steps.
      num_sgd_steps: updates in one step, all in one jitted scan.
      log_seconds: the least time between two rows of the logger.
    """
    # All at once: each array made on its own would be compiled on its own.
    state = jax.jit(agent.init)(jax.random.PRNGKey(inputs.seed))
    self._agent = agent
    self._packing = packing.Packing(state, agent.params)
    self._state = self._packing.pack(state)
    update = checked(agent.update if num_sgd_steps == 1 else scan(agent.update, num_sgd_steps))
    self._update = jax.jit(self._packing.wrap(update))
    self._dataset = inputs.dataset
    self._num_sgd_steps = num_sgd_steps
    self._replay = inputs.replay
    self._once = inputs.once if agent.evaluate is not None else None
    self._evaluate = None if agent.evaluate is None else jax.jit(evaluating(agent.evaluate))
    self._best = _Best()
    self._losses: tuple[Any, int] = (0.0, 0)  # The sum, and of how many steps, since the last evaluation.
    self._logger = inputs.logger
    self._counter = counting.Counter(inputs.counter, prefix="learner")
    self._log_seconds = log_seconds
    self._logged = -math.inf
    self._steps = 0
    self._result: _Result | None = None

  def step(self) -> None:
    """Takes one sample and learns from it.

    Raises:
      FloatingPointError: the loss is not a finite number; at the latest 16 steps after it became so.
    """
    if self._replay is not None:
      self.settle()
    sample = next(self._dataset)
    self._state, priorities, metrics = self._update(self._state, _arrays(sample))
    if self._replay is None and self._steps // self._num_sgd_steps % _CHECK_EVERY == 0:
      self.settle()  # Only now: the device has its next work already.
    self._steps += self._num_sgd_steps
    self._result = _Result(self._steps, sample.keys, priorities, metrics)
    if self._once is not None:
      self._losses = self._losses[0] + metrics["loss"], self._losses[1] + 1
    counts = self._counter.increment(steps=self._num_sgd_steps)
    self._log(counts)

  @property
  def finished(self) -> bool:  # type: ignore[override]
    """Whether as many evaluations in a row as the program has patience for brought no lower loss."""
    return self._agent.patience is not None and self._best.stale >= self._agent.patience

  def evaluate(self) -> dict[str, float]:
    """Evaluates the newest parameters on what is held out: `held_out_…` and, of the steps since, `train_loss`."""
    if self._once is None or self._evaluate is None:
      return {}
    state = self._packing.unpack(self._state)
    means = learning_loop.mean_of(self._evaluate(state, _arrays(sample)) for sample in self._once(True))
    if not means:
      return {}
    total, steps = self._losses
    self._losses = (0.0, 0)
    if means["loss"] < self._best.loss:
      self._best = _Best(means["loss"], 0, self._known(state))
    else:
      self._best = self._best._replace(stale=self._best.stale + 1)
    row = {f"held_out_{name}": value for name, value in means.items()}
    return row | ({"train_loss": float(total) / steps} if steps else {})

  def settle(self) -> None:
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
    if self._replay is not None and priorities is not None:
      self._replay.update_priorities(keys, np.asarray(priorities))
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
    if self._best.variables is not None:
      return find(self._best.variables, names)
    if list(names) == [PARAMS]:  # They are not packed, since actors ask for them after every step.
      return [self._agent.params(self._state.rest)]
    return find(self._known(self._packing.unpack(self._state)), names)

  def _known(self, state: S) -> dict[str, Any]:
    """All variables by name."""
    return {PARAMS: self._agent.params(state), **self._agent.variables(state)}

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
        self.settle()
      pending = {
        "step": step,
        "keys": np.asarray(keys),
        "priorities": None if priorities is None else np.asarray(priorities),
        "loss": loss,
      }
    saved = {"steps": self._steps, "state": to_lists(self._packing.unpack(self._state)), "pending": pending}
    if self._once is None:
      return saved
    variables = self._best.variables
    best = self._best._asdict() | {"variables": None if variables is None else to_lists(variables)}
    return saved | {"best": best, "losses": [np.asarray(self._losses[0], np.float32), self._losses[1]]}

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
    if "best" in state:
      best = _Best(**state["best"])
      if best.variables is not None:
        known = self._known(self._packing.unpack(self._state))
        best = best._replace(variables=from_lists(known, best.variables))
      self._best, self._losses = best, (state["losses"][0], state["losses"][1])


def checked(update: Update[S]) -> Update[S]:
  """The update, whose "loss" is NaN where any metric is not finite, and which sees float64 as float32.

  The host looks at the loss alone. Rewards and discounts are float64 by dm_env's defaults, and where
  `jax_enable_x64` is set they would stay so, and carry parameters along.
  """

  def wrapped(state: S, sample: replay.Sample) -> tuple[S, jax.Array | None, Metrics]:
    state, priorities, metrics = update(state, jax.tree.map(_single, sample))
    finite = jnp.all(jnp.isfinite(jnp.stack([jnp.asarray(value, jnp.float32) for value in metrics.values()])))
    return state, priorities, metrics | {"loss": jnp.where(finite, metrics["loss"], jnp.nan)}

  return wrapped


def evaluating(evaluate: Evaluate[S]) -> Evaluate[S]:
  """The function, which sees float64 as float32, as `checked` does."""
  return lambda state, sample: evaluate(state, jax.tree.map(_single, sample))


def find(known: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
  """The values of names; KeyError for an unknown one."""
  for name in names:
    if name not in known:
      raise KeyError(f"No variables are called {name!r}; known: {', '.join(known)}.")
  return [known[name] for name in names]


def _single(leaf: jax.Array) -> jax.Array:
  return leaf.astype(jnp.float32) if leaf.dtype == jnp.float64 else leaf


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
  weights: jax.Array = (jnp.min(probabilities) / probabilities) ** exponent
  return weights


def to_lists(state: Any) -> list[np.ndarray]:
  """The leaves of a pytree as numpy arrays, in order."""
  return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def from_lists(like: S, leaves: Sequence[np.ndarray]) -> S:
  """The pytree with the structure of `like` and the values of `leaves`.

  Raises:
    ValueError: a leaf is missing or over, or differs in shape or dtype, and the message names the first that does; or
      they are of another backend.
  """
  if isinstance(leaves, Mapping):
    raise ValueError(
      f"The saved state has parts by name ({', '.join(map(str, leaves))}), as learners in TensorFlow have them; "
      'expected a list of arrays. Go on with the backend that it is of, "tf".'
    )
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
  restored: S = jax.tree_util.tree_unflatten(structure, [jnp.asarray(leaf) for leaf in leaves])
  return restored


def _arrays(sample: replay.Sample) -> replay.Sample:
  """The part of a sample that an update may read, in 32 bits."""
  return sample._replace(keys=(), probabilities=sample.probabilities.astype(np.float32), table_size=())  # type: ignore[arg-type]
