"""The scaffolding of a learner: an agent supplies its variables and an update, this does the rest.

  update(sample) -> (priorities [B] or None, metrics)

The update is a function in TensorFlow that changes the variables; `metrics` is a dict of scalars with "loss" among
them.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import core, counting, loggers, replay, types
from acme_tf import functions
from acme_tf import variables as tf_variables

PRIORITY_EPSILON = 1e-6  # ε of Schaul et al. 2015 (1511.05952), §3.3: an item without error may still be drawn.

Metrics = dict[str, tf.Tensor]
Update = Callable[[replay.Sample], tuple[tf.Tensor | None, Metrics]]


class TFLearner(core.Learner):
  """Takes a sample, updates, hands back priorities, counts, logs."""

  def __init__(
    self,
    state: Mapping[str, Any],
    update: Update,
    dataset: Iterator[replay.Sample],
    *,
    variables: Mapping[str, Sequence[tf.Variable]],
    num_sgd_steps: int = 1,
    store: replay.Replay | None = None,
    table: str = "replay",
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
    log_seconds: float = 1.0,
  ) -> None:
    """Makes a learner.

    Args:
      state: everything that the update changes, by name: modules, optimizers with their slots made (see `adam`),
      variables.
      update: changes the state by one batch; it is made a `tf.function` here.
      dataset: gives batches, of `num_sgd_steps` times the batch size.
      variables: what actors may ask for by name.
      num_sgd_steps: updates in one step, all in one call.
      store: where priorities go; None where nobody wants them.
      table: the table whose priorities they are.
      logger: takes metrics, at most every `log_seconds`; None for nowhere.
      counter: counts `learner_steps` (SGD steps).
      log_seconds: the least time between two rows.
    """
    self._state = {name: [part] if isinstance(part, tf.Variable) else part.variables for name, part in state.items()}
    self._update = functions.Compiled(update if num_sgd_steps == 1 else repeat(update, num_sgd_steps))
    self._dataset = dataset
    self._variables = dict(variables)
    self._num_sgd_steps = num_sgd_steps
    self._store = store
    self._table = table
    self._logger = logger
    self._counter = counting.Counter(counter, prefix="learner")
    self._log_seconds = log_seconds
    self._logged = -math.inf
    self._steps = 0
    self._loss = 0.0
    self._newest: dict[str, tf_variables.Values] = {}  # What actors were given since the last step.

  def step(self) -> None:
    """Takes one sample and learns from it.

    Raises:
      FloatingPointError: the loss is not a finite number.
    """
    sample = next(self._dataset)
    priorities, metrics = self._update(_arrays(sample))
    self._newest = {}
    self._steps += self._num_sgd_steps
    # A metric that is not finite makes the loss so.
    self._loss = float(metrics["loss"]) if all(np.isfinite(value) for value in metrics.values()) else math.nan
    self._check_loss()
    if self._store is not None and priorities is not None:
      self._store.update_priorities(self._table, np.asarray(sample.keys), priorities.numpy() + PRIORITY_EPSILON)
    counts = self._counter.increment(steps=self._num_sgd_steps)
    self._log(metrics, counts)

  def _check_loss(self) -> None:
    if not math.isfinite(self._loss):
      raise FloatingPointError(
        f"The loss is {self._loss} at SGD step {self._steps}: training has diverged, and its parameters are of no use. "
        "Go back to the last checkpoint; look for very large rewards or observations, lower learning_rate or set "
        "max_gradient_norm."
      )

  def _log(self, metrics: Metrics, counts: dict[str, float]) -> None:
    if self._logger is None:
      return
    now = time.monotonic()
    if now - self._logged >= self._log_seconds:
      self._logged = now
      self._logger.write({**{name: float(value) for name, value in metrics.items()}, **counts})

  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    """Returns for each name a dict of numpy arrays by variable name: the same object until the next step.

    Raises:
      KeyError: an unknown name.
    """
    for name in names:
      if name not in self._variables:
        raise KeyError(f"No variables are called {name!r}; known: {', '.join(self._variables)}.")
      if name not in self._newest:
        self._newest[name] = tf_variables.values(self._variables[name])
    return [self._newest[name] for name in names]

  def save(self) -> types.State:
    """Returns the state: numpy arrays by part and variable name.

    Raises:
      FloatingPointError: the last loss is not finite: such a state is not worth a checkpoint.
    """
    self._check_loss()
    return {"steps": self._steps, "state": {name: tf_variables.values(part) for name, part in self._state.items()}}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned.

    Raises:
      ValueError: it is the state of another agent, network or config.
    """
    saved = state["state"]
    if not isinstance(saved, Mapping) or saved.keys() != self._state.keys():
      got = ", ".join(saved) if isinstance(saved, Mapping) else "arrays without names, as learners in JAX have them"
      raise ValueError(
        f"The saved state has {got}; expected {', '.join(self._state)}. It is of another agent, backend or config."
      )
    for name, part in self._state.items():
      tf_variables.check(part, saved[name])  # All of them, before any is changed.
    for name, part in self._state.items():
      tf_variables.assign(part, saved[name])
    self._steps = state["steps"]
    self._loss = 0.0
    self._newest = {}


def repeat(update: Update, num_steps: int) -> Update:
  """The update that takes `num_steps` batches in one sample [num_steps · B, …], one after the other."""
  once = tf.function(update)  # Traced once, called in one graph several times.

  def repeated(sample: replay.Sample) -> tuple[tf.Tensor | None, Metrics]:
    def batch(leaf: tf.Tensor, i: int) -> tf.Tensor:
      return tf.reshape(leaf, (num_steps, -1, *leaf.shape[1:]))[i]  # [B, …]

    results = [once(tf.nest.map_structure(lambda leaf, i=i: batch(leaf, i), sample)) for i in range(num_steps)]
    priorities = [priorities for priorities, _ in results if priorities is not None]
    metrics = {name: tf.reduce_mean([metrics[name] for _, metrics in results], axis=0) for name in results[0][1]}
    return tf.concat(priorities, axis=0) if priorities else None, metrics

  return repeated


def adam(learning_rate: float, parameters: Sequence[tf.Variable], epsilon: float = 1e-8) -> snt.optimizers.Adam:
  """Makes Adam with its slots for `parameters`, all zero, so that they can be saved and restored before the first step.

  Reference: Kingma & Ba 2015 (1412.6980), algorithm 1.
  """
  optimizer = snt.optimizers.Adam(learning_rate, epsilon=epsilon)
  optimizer.apply([tf.zeros_like(parameter) for parameter in parameters], parameters)  # Changes nothing but its count.
  optimizer.step.assign(0)
  return optimizer


def apply_gradients(
  optimizer: Any, gradients: Sequence[tf.Tensor], parameters: Sequence[tf.Variable], max_norm: float | None = None
) -> tf.Tensor:
  """Takes one step along gradients, scaled down together to `max_norm` where their norm is above it; returns it."""
  norm = tf.linalg.global_norm(gradients)
  if max_norm is not None:
    gradients, _ = tf.clip_by_global_norm(gradients, max_norm, use_norm=norm)
  optimizer.apply(gradients, parameters)
  return norm


def importance_weights(probabilities: tf.Tensor, exponent: float) -> tf.Tensor:
  """w_i = (1/P_i)^β / max_j (1/P_j)^β over the batch: [B], at most 1.

  The table's size cancels out. Reference: Schaul et al. 2015 (1511.05952), §3.4.
  """
  return (tf.reduce_min(probabilities) / probabilities) ** exponent


def make_target(make: tf_variables.Factory, online: Any, *inputs: Any) -> Any:
  """Makes a target network that starts equal to the online one; its variables are its own."""
  target = tf_variables.create(make, *inputs)
  tf_variables.copy(online.variables, target.variables)
  return target


def _arrays(sample: replay.Sample) -> replay.Sample:
  """The part of a sample that an update may read, in 32 bits."""
  return replay.Sample(sample.data, (), np.asarray(sample.probabilities, np.float32), ())  # type: ignore[arg-type]
