"""How it acts: it does what the policy holds most probable, or what it says where it is deterministic."""

from typing import Any

import tensorflow as tf

from acme import types
from acme_bc.tf import networks
from acme_tf.program import Acted, Policy


def make_policy() -> Policy:
  """The one way that it acts."""

  def act(network: networks.Network, seed: tf.Tensor | None, step: types.Step, core: Any) -> Acted[Any]:
    policy, core = network.step(step.observation, core)
    return Acted(policy.mode(), core=core)  # [N] or [N, D]; what is out of bounds the space clips

  return Policy(act=act, initial=lambda network, num_envs: network.initial_state(num_envs))
