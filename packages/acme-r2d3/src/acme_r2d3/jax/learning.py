"""R2D3's training step is R2D2's; what is new is logged: how the demonstrations do beside the agent's own sequences.

Reference: Paine et al. 2019 (1909.01387).

Shapes: B batch.
"""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from acme import replay, specs
from acme_jax.program import Metrics, Program
from acme_r2d2.jax import learning as r2d2
from acme_r2d2.jax import networks
from acme_r2d3 import config as r2d3_config


def watch(sample: replay.Sample, result: r2d2.Result) -> Metrics:
  """The share ρ' of demonstrations in a batch, and two means of its weighted losses, 0 where there is nothing to mean.

  loss = ρ' demonstration_loss + (1 − ρ') own_loss
  """
  shown = (sample.table == r2d3_config.DEMONSTRATIONS).astype(jnp.float32)  # [B]

  def mean(which: jax.Array) -> jax.Array:
    return jnp.sum(which * result.loss) / jnp.maximum(jnp.sum(which), 1)

  return {"demonstrations": jnp.mean(shown), "demonstration_loss": mean(shown), "own_loss": mean(1 - shown)}


def make_program(
  spec: specs.EnvironmentSpec, config: r2d3_config.R2D3Config, network: networks.MakeNetwork | None = None
) -> Program[r2d2.TrainingState, hk.Params, Any]:
  """Makes R2D3's program. Raises ValueError where the actions are not discrete, or the network does not fit."""
  return r2d2.make_program(spec, config, network, name="R2D3", watch=watch)
