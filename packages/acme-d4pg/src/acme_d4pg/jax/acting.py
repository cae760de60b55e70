"""How D4PG acts: by its policy, with Gaussian noise while it learns."""

import haiku as hk
import jax

from acme import types
from acme_d4pg import config as d4pg_config
from acme_d4pg.jax import networks
from acme_jax import exploration
from acme_jax.program import Acted, Policy


def make_policy(nets: networks.Networks, config: d4pg_config.D4PGConfig, *, evaluation: bool) -> Policy:
  """The behaviour; for evaluation without noise."""

  def act(params: hk.Params, key: jax.Array | None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(nets.policy.apply(params, step.observation))  # [N, D]

  noise = exploration.Gaussian(sigma=config.sigma, random_steps=config.random_steps)
  return Policy(act=act, explore=None if evaluation else noise)
