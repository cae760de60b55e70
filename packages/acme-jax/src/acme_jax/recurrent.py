"""Recurrent cores in Haiku, for acting step by step and for learning from sequences; use them within `hk.transform`.

Shapes: B batch, T time, F features, H units.
"""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

State = Any  # a pytree of arrays [B, H]


class Core:
  """One of Haiku's recurrent cores behind one interface: `Core(hk.LSTM(256))`, `Core(hk.GRU(256))`, or any other.

  It has no parameters but the core's.
  """

  def __init__(self, core: hk.RNNCore) -> None:
    self._core = _Single(core)

  def initial_state(self, batch: int) -> State:
    """The state in which every episode begins, [B, H]; a constant."""
    return self._core.initial_state(batch)

  def step(self, inputs: jax.Array, state: State) -> tuple[jax.Array, State]:
    """One step: inputs [B, F] and the state before it to outputs [B, H] and the state after it."""
    return self._core(inputs, state)

  def unroll(self, inputs: jax.Array, start_of_episode: jax.Array, state: State) -> tuple[jax.Array, State]:
    """Steps through sequences, each step from the initial state where an episode starts there.

    Args:
      inputs: [B, T, F].
      start_of_episode: [B, T] bool, true at an episode's first step.
      state: [B, H], before the first step.

    Returns:
      Outputs [B, T, H], and the state [B, H] after the last step.
    """
    resetting = hk.ResetCore(self._core)
    steps = inputs, start_of_episode.astype(jnp.bool_)
    outputs, state = hk.dynamic_unroll(resetting, steps, state, time_major=False)  # type: ignore[no-untyped-call]
    return outputs, state


class _Single(hk.RNNCore):
  """A core whose state stays in single precision where JAX has double: Haiku makes zeros of the default dtype."""

  def __init__(self, core: hk.RNNCore) -> None:
    super().__init__()
    self._core = core

  def __call__(self, inputs: Any, state: Any) -> tuple[Any, Any]:
    return self._core(inputs, state)

  def initial_state(self, batch_size: int | None) -> Any:
    return jax.tree.map(lambda x: x.astype(jnp.float32), self._core.initial_state(batch_size))
