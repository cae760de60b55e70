"""Calling a `tf.function` with less overhead."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class Compiled:
  """A `tf.function` whose inputs always have the shapes and dtypes of the first call.

  It is traced once, and what was traced is called directly, with arrays made tensors beforehand: a third of the time of
  a small `tf.function` that is called with arrays, which looks for a fitting trace at every call.
  """

  def __init__(self, function: Callable[..., Any]) -> None:
    self._function = tf.function(function)
    self._traced: Any = None

  def __call__(self, *inputs: Any) -> Any:
    """Calls the function on nests of arrays or tensors."""
    tensors = tf.nest.map_structure(tf.constant, inputs)
    if self._traced is None:
      self._traced = self._function.get_concrete_function(*tensors)
    return self._traced(*tensors)
