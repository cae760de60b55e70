"""How MPO acts: it samples its policy while it learns, and takes the policy's mode when it is evaluated."""

import haiku as hk
import jax

from acme import types
from acme_jax import mpo
from acme_jax.program import Acted, Policy
from acme_mpo import config as mpo_config


def make_policy(nets: mpo.Networks, config: mpo_config.MPOConfig, *, evaluation: bool) -> Policy:
  """The behaviour; with Retrace it tells replay the log-probability of what it did."""

  def act(params: hk.Params, key: jax.Array, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    policy = nets.policy.apply(params, step.observation)
    action = nets.kind.bounded(policy.sample(key))  # [N, D] or [N], as it is executed
    return Acted(action, {"log_prob": policy.log_prob(action)} if config.retrace else ())

  def act_greedily(params: hk.Params, key: None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(nets.kind.bounded(nets.policy.apply(params, step.observation).mode()))

  return Policy(act=act_greedily) if evaluation else Policy(act=act, random=True)
