"""The learner: takes a program's update through samples, hands back priorities, counts, logs.

update(state, sample) -> (priorities [B] or None, metrics), which changes the state.
"""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import builders, core, counting, learning_loop, replay, types
from acme_tf import functions
from acme_tf import variables as tf_variables
from acme_tf.program import PARAMS, Metrics, Program

S = TypeVar("S")

Step = Callable[[replay.Sample], tuple[tf.Tensor | None, Metrics]]  # The update of one state.


class Learner(core.Learner, Generic[S]):
  """Takes a sample, updates, hands back priorities, counts, logs.

  Where the program can be evaluated on what is held out, `evaluate` does, and keeps the variables of the lowest loss:
  from then on they are the ones that it gives, to actors, too.
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
      agent: its update is made a `tf.function` here.
      inputs: the dataset gives batches of `num_sgd_steps` times the batch size; `learner_steps` counts SGD steps.
      num_sgd_steps: updates in one step, all in one call.
      log_seconds: the least time between two rows of the logger.
    """
    state = agent.init(inputs.seed)
    self._state = {name: tf_variables.of(part) for name, part in state._asdict().items()}  # type: ignore[attr-defined]
    known = {PARAMS: agent.params(state), **agent.variables(state)}
    self._variables = {name: tf_variables.of(part) for name, part in known.items()}
    update = functools.partial(agent.update, state)
    self._update = functions.Compiled(checked(update if num_sgd_steps == 1 else repeat(update, num_sgd_steps)))
    self._once = inputs.once if agent.evaluate is not None else None
    self._patience = agent.patience
    if agent.evaluate is not None:
      self._evaluate = tf.function(evaluating(functools.partial(agent.evaluate, state)))
    self._best: dict[str, Any] = {"loss": math.inf, "stale": 0, "variables": None}
    self._losses = [0.0, 0]  # The sum, and of how many steps, since the last evaluation.
    self._dataset = inputs.dataset
    self._num_sgd_steps = num_sgd_steps
    self._replay = inputs.replay
    self._logger = inputs.logger
    self._counter = counting.Counter(inputs.counter, prefix="learner")
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
    self._loss = float(metrics["loss"])
    self._check_loss()
    self._losses = [self._losses[0] + self._loss, self._losses[1] + 1]
    if self._replay is not None and priorities is not None:
      self._replay.update_priorities(sample.keys, priorities.numpy())
    counts = self._counter.increment(steps=self._num_sgd_steps)
    self._log(metrics, counts)

  @property
  def finished(self) -> bool:  # type: ignore[override]
    """Whether as many evaluations in a row as the program has patience for brought no lower loss."""
    return self._patience is not None and self._best["stale"] >= self._patience

  def evaluate(self) -> dict[str, float]:
    """Evaluates the newest parameters on what is held out: `held_out_…` and, of the steps since, `train_loss`."""
    if self._once is None:
      return {}
    batches = (self._evaluate(tf.nest.map_structure(tf.constant, _arrays(sample))) for sample in self._once(True))
    means = learning_loop.mean_of(batches)
    if not means:
      return {}
    total, steps = self._losses
    self._losses = [0.0, 0]
    if means["loss"] < self._best["loss"]:
      found = {name: tf_variables.values(part) for name, part in self._variables.items()}
      self._best = {"loss": means["loss"], "stale": 0, "variables": found}
    else:
      self._best = self._best | {"stale": self._best["stale"] + 1}
    row = {f"held_out_{name}": value for name, value in means.items()}
    return row | ({"train_loss": total / steps} if steps else {})

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
    if self._best["variables"] is not None:
      return [self._best["variables"][name] for name in names]
    for name in names:
      if name not in self._newest:
        self._newest[name] = tf_variables.values(self._variables[name])
    return [self._newest[name] for name in names]

  def save(self) -> types.State:
    """Returns the state: numpy arrays by part and variable name.

    Raises:
      FloatingPointError: the last loss is not finite: such a state is not worth a checkpoint.
    """
    self._check_loss()
    saved = {"steps": self._steps, "state": {name: tf_variables.values(part) for name, part in self._state.items()}}
    return saved if self._once is None else saved | {"best": dict(self._best), "losses": list(self._losses)}

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
    if "best" in state:
      for name, found in (state["best"]["variables"] or {}).items():
        tf_variables.check(self._variables[name], found)
      self._best, self._losses = dict(state["best"]), list(state["losses"])
    self._loss = 0.0
    self._newest = {}


def checked(update: Step) -> Step:
  """The update, whose "loss" is NaN where any metric is not finite, and which sees float64 as float32."""

  def wrapped(sample: replay.Sample) -> tuple[tf.Tensor | None, Metrics]:
    priorities, metrics = update(functions.single(sample))
    finite = tf.reduce_all([tf.math.is_finite(tf.cast(value, tf.float32)) for value in metrics.values()])
    return priorities, metrics | {"loss": tf.where(finite, metrics["loss"], math.nan)}

  return wrapped


def evaluating(evaluate: Callable[[replay.Sample], tuple[Metrics, tf.Tensor]]) -> Callable[[replay.Sample], Any]:
  """The function, which sees float64 as float32, as `checked` does."""
  return lambda sample: evaluate(functions.single(sample))


def repeat(update: Step, num_steps: int) -> Step:
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


def make_rate(learning_rate: float) -> tf.Variable:
  """A learning rate that `fall` changes, to make an optimizer with."""
  return tf.Variable(learning_rate, dtype=tf.float32, trainable=False, name="learning_rate")


def fall(rate: tf.Variable, learning_rate: float, steps: tf.Variable, last: int) -> None:
  """Sets the rate of the next SGD step, after so many: from `learning_rate` it falls to 0 in a straight line."""
  rate.assign(learning_rate * tf.maximum(1 - tf.cast(steps, tf.float32) / last, 0.0))


def adam(
  learning_rate: float | tf.Variable, parameters: Sequence[tf.Variable], epsilon: float = 1e-8
) -> snt.optimizers.Adam:
  """Makes Adam with its slots for `parameters`, all zero, so that they can be saved and restored before the first step.

  Reference: Kingma & Ba 2015 (1412.6980), algorithm 1.
  """
  optimizer = snt.optimizers.Adam(learning_rate, epsilon=epsilon)
  optimizer.apply([tf.zeros_like(parameter) for parameter in parameters], parameters)  # Changes nothing but its count.
  optimizer.step.assign(0)
  return optimizer


def rmsprop(
  learning_rate: float | tf.Variable, parameters: Sequence[tf.Variable], decay: float = 0.99, epsilon: float = 0.1
) -> snt.optimizers.RMSProp:
  """Makes RMSProp without momentum, with its slots for `parameters`, all zero; `epsilon` is within the root.

  The defaults are those of IMPALA's published code (Espeholt et al. 2018, 1802.01561).
  """
  optimizer = snt.optimizers.RMSProp(learning_rate, decay=decay, epsilon=epsilon)
  optimizer.apply([tf.zeros_like(parameter) for parameter in parameters], parameters)  # Changes nothing.
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


def _arrays(sample: replay.Sample) -> replay.Sample:
  """The part of a sample that an update may read, in 32 bits."""
  return sample._replace(keys=(), probabilities=np.asarray(sample.probabilities, np.float32), table_size=())  # type: ignore[arg-type]
