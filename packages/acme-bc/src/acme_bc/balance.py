"""Weights of discrete actions by how rare they are."""

from collections.abc import Iterable

import numpy as np

from acme import builders, replay, specs, types


def of_inputs(spec: specs.EnvironmentSpec, inputs: builders.LearnerInputs) -> np.ndarray:
  """The weights [A] for what a learner is given. Raises ValueError where actions are not discrete."""
  samples = inputs.once(False) if inputs.once is not None else ()
  return class_weights(samples, specs.require_discrete(spec, "class_balance").num_values)


def class_weights(samples: Iterable[replay.Sample], num_actions: int) -> np.ndarray:
  """w_k = n / (K n_k): the mean weight of what was done is 1, and each of the K actions that were done counts alike.

  Args:
    samples: every item that is learned from, once.
    num_actions: A.

  Returns:
    Weights [A], float32; 1 for an action that was never done.
  """
  counts = np.zeros(num_actions, np.int64)  # n_k
  for sample in samples:
    action = np.asarray(sample.data.action)
    if isinstance(sample.data, types.Sequence):
      action = action[np.asarray(sample.data.acted) > 0]
    counts += np.bincount(action.ravel(), minlength=num_actions)
  done = counts > 0
  return np.where(done, counts.sum() / (done.sum() or 1) / np.maximum(counts, 1), 1.0).astype(np.float32)
