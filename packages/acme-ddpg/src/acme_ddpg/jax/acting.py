"""How DDPG acts: by its online policy, with noise while it learns."""

import haiku as hk
import jax

from acme import types
from acme_ddpg import config as ddpg_config
from acme_jax import control, exploration
from acme_jax.program import Acted, Policy


def make_policy(nets: control.Networks, config: ddpg_config.DDPGConfig, *, evaluation: bool) -> Policy:
  """The behaviour; for evaluation without noise."""

  def act(params: hk.Params, key: jax.Array | None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(nets.policy.apply(params, step.observation))  # [N, D]

  return Policy(act=act, explore=None if evaluation else exploration.make_noise(config, nets.space.size))
