"""How MPO acts: it samples its policy while it learns, and takes the policy's mode when it is evaluated."""

import sonnet as snt
import tensorflow as tf

from acme import types
from acme_mpo import config as mpo_config
from acme_tf import mpo
from acme_tf.program import Acted, Policy


def make_policy(nets: mpo.Networks, config: mpo_config.MPOConfig, *, evaluation: bool) -> Policy:
  """The behaviour; with Retrace it tells replay the log-probability of what it did."""

  def act(network: snt.Module, seed: tf.Tensor, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    policy = network(step.observation)
    action = nets.kind.sample(policy, seed)  # [N, D] or [N], as it is executed
    return Acted(action, {"log_prob": policy.log_prob(action)} if config.retrace else ())

  def act_greedily(network: snt.Module, seed: None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(nets.kind.bounded(network(step.observation).mode()))

  return Policy(act=act_greedily) if evaluation else Policy(act=act, random=True)
