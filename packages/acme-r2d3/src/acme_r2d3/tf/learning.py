"""R2D3's training step is R2D2's; what is new is logged: how the demonstrations do beside the agent's own sequences.

Reference: Paine et al. 2019 (1909.01387).

Shapes: B batch.
"""

from typing import Any

import tensorflow as tf

from acme import replay, specs
from acme_r2d2.tf import learning as r2d2
from acme_r2d2.tf import networks
from acme_r2d3 import config as r2d3_config
from acme_tf.program import Metrics, Program


def watch(sample: replay.Sample, result: r2d2.Result) -> Metrics:
  """The share of demonstrations in a batch, and means of its weighted losses: see `acme_r2d3.jax.learning.watch`."""
  shown = tf.cast(sample.table == r2d3_config.DEMONSTRATIONS, tf.float32)  # [B]

  def mean(which: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(which * result.loss) / tf.maximum(tf.reduce_sum(which), 1)

  return {"demonstrations": tf.reduce_mean(shown), "demonstration_loss": mean(shown), "own_loss": mean(1 - shown)}


def make_program(
  spec: specs.EnvironmentSpec, config: r2d3_config.R2D3Config, network: networks.MakeNetwork | None = None
) -> Program[r2d2.TrainingState, networks.Network, Any]:
  """Makes R2D3's program. Raises ValueError where the actions are not discrete, or the network does not fit."""
  return r2d2.make_program(spec, config, network, name="R2D3", watch=watch)
