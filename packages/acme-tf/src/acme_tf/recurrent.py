"""Recurrent cores in Sonnet, for acting step by step and for learning from sequences; the twin of `acme_jax.recurrent`.

Shapes: B batch, T time, F features, H units.
"""

from typing import Any

import sonnet as snt
import tensorflow as tf

from acme_tf import program

State = Any  # a nest of tensors [B, H]


class Core(snt.Module):
  """One of Sonnet's recurrent cores behind one interface: `Core(snt.LSTM(256))`, `Core(snt.GRU(256))`, or any other.

  It has no variables but the core's.
  """

  def __init__(self, core: snt.RNNCore, name: str | None = None) -> None:
    super().__init__(name)
    self._core = core
    self._resetting = _Resetting(core)

  def initial_state(self, batch: int) -> State:
    """The state in which every episode begins, [B, H]; a constant."""
    return self._core.initial_state(batch)

  def step(self, inputs: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
    """One step: inputs [B, F] and the state before it to outputs [B, H] and the state after it."""
    return self._core(inputs, state)

  def unroll(self, inputs: tf.Tensor, start_of_episode: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
    """Steps through sequences, each step from the initial state where an episode starts there; in a `tf.function`.

    Args:
      inputs: [B, T, F].
      start_of_episode: [B, T] bool, true at an episode's first step.
      state: [B, H], before the first step.

    Returns:
      Outputs [B, T, H], and the state [B, H] after the last step.
    """
    steps = tf.transpose(inputs, (1, 0, 2)), tf.transpose(start_of_episode)  # [T, B, …]
    outputs, state = snt.dynamic_unroll(self._resetting, steps, state)
    return tf.transpose(outputs, (1, 0, 2)), state


class _Resetting(snt.RNNCore):
  """A core that takes pairs of inputs and of whether an episode starts there."""

  def __init__(self, core: snt.RNNCore) -> None:
    super().__init__()
    self._core = core

  def __call__(self, inputs: tuple[tf.Tensor, tf.Tensor], state: State) -> tuple[tf.Tensor, State]:
    x, start = inputs
    return self._core(x, program.where(start, self.initial_state(x.shape[0]), state))

  def initial_state(self, batch_size: int, **kwargs: Any) -> State:
    return self._core.initial_state(batch_size, **kwargs)
