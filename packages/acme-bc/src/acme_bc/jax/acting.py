"""How it acts: it does what the policy holds most probable, or what it says where it is deterministic."""

from typing import Any

import haiku as hk

from acme import types
from acme_bc.jax import networks
from acme_jax.program import Acted, Policy


def make_policy(nets: networks.Networks) -> Policy:
  """The one way that it acts."""

  def act(params: hk.Params, key: None, step: types.Step, core: Any) -> Acted[Any]:
    policy, core = nets.step(params, step.observation, core)
    return Acted(policy.mode(), core=core)  # [N] or [N, D]; what is out of bounds the space clips

  return Policy(act=act, initial=lambda params, num_envs: nets.initial_state(num_envs))
