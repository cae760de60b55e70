"""How actors read parameters."""

from typing import Any

import jax
import numpy as np

from acme import core


class VariableClient:
  """Holds the newest parameters called `name`, on the device.

  A learner in the same process gives its own device arrays, which are never written to, so nothing is copied; arrays of
  numpy, as from another process, are put on the device once.
  """

  def __init__(self, source: core.VariableSource, name: str) -> None:
    self._source = source
    self._names = (name,)
    self.update()

  def update(self) -> None:
    """Takes the source's newest parameters."""
    (params,) = self._source.get_variables(self._names)
    on_host = any(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))
    self.params: Any = jax.device_put(params) if on_host else params
