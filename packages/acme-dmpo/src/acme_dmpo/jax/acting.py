"""How DMPO acts: it samples its policy while it learns, and takes the policy's mode when it is evaluated."""

import haiku as hk
import jax

from acme import types
from acme_jax import mpo
from acme_jax.program import Acted, Policy


def make_policy(nets: mpo.Networks, *, evaluation: bool) -> Policy:
  """The behaviour, or how it acts when it is evaluated."""

  def act(params: hk.Params, key: jax.Array | None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    policy = nets.policy.apply(params, step.observation)
    return Acted(nets.kind.bounded(policy.mode() if key is None else policy.sample(key)))  # [N, D] or [N]

  return Policy(act=act, random=not evaluation)
