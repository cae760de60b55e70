"""How IMPALA acts: it samples its policy while it learns, and takes the policy's mode when it is evaluated."""

import sonnet as snt
import tensorflow as tf

from acme import types
from acme_impala.tf import networks
from acme_tf.program import Acted, Policy


def make_policy(nets: networks.Networks, *, evaluation: bool) -> Policy:
  """The behaviour, which tells replay what it took actions from; or how the agent is evaluated."""

  def act(network: snt.Module, seed: tf.Tensor | None, step: types.Step, core: types.NestedArray) -> Acted:
    observation = tf.nest.map_structure(lambda x: x[:, None], step.observation)  # [N, 1, …]
    # Whoever calls this has begun anew where an episode does.
    start = tf.zeros((tf.nest.flatten(observation)[0].shape[0], 1), tf.bool)
    policy, _, core = network(observation, start, core)
    policy = tf.nest.map_structure(lambda x: x[:, 0], policy)  # over [N]
    if seed is None:
      return Acted(nets.kind.mode(policy), core=core)
    return Acted(*nets.kind.sample(policy, seed), core)

  return Policy(act=act, initial=lambda network, num_envs: nets.initial_core(num_envs), random=not evaluation)
