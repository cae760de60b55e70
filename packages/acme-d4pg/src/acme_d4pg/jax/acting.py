"""How D4PG acts: by its policy, with noise while it learns."""

import haiku as hk
import jax

from acme import types
from acme_d4pg import config as d4pg_config
from acme_jax import control, exploration
from acme_jax.program import Acted, Policy


def make_policy(nets: control.Networks, config: d4pg_config.D4PGConfig, *, evaluation: bool) -> Policy:
  """The behaviour; for evaluation without noise."""

  def act(params: hk.Params, key: jax.Array | None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(nets.policy.apply(params, step.observation))  # [N, D]

  return Policy(act=act, explore=None if evaluation else exploration.make_noise(config, nets.space.size))
