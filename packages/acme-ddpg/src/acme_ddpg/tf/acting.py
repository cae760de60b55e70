"""How DDPG acts: by its online policy, with noise while it learns."""

import sonnet as snt
import tensorflow as tf

from acme import types
from acme_ddpg import config as ddpg_config
from acme_tf import control, exploration
from acme_tf.program import Acted, Policy


def make_policy(nets: control.Networks, config: ddpg_config.DDPGConfig, *, evaluation: bool) -> Policy:
  """The behaviour; for evaluation without noise."""

  def act(policy: snt.Module, seed: tf.Tensor | None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(policy(step.observation))  # [N, D]

  return Policy(act=act, explore=None if evaluation else exploration.make_noise(config, nets.space.size))
