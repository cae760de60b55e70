"""How DMPO acts: it samples its policy while it learns, and takes the policy's mode when it is evaluated."""

import sonnet as snt
import tensorflow as tf

from acme import types
from acme_tf import mpo
from acme_tf.program import Acted, Policy


def make_policy(nets: mpo.Networks, *, evaluation: bool) -> Policy:
  """The behaviour, or how it acts when it is evaluated."""

  def act(network: snt.Module, seed: tf.Tensor | None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    policy = network(step.observation)
    action = nets.kind.bounded(policy.mode()) if seed is None else nets.kind.sample(policy, seed)
    return Acted(action)  # [N, D] or [N]

  return Policy(act=act, random=not evaluation)
