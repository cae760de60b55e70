"""How IMPALA acts: it samples its policy while it learns, and takes the policy's mode when it is evaluated."""

import haiku as hk
import jax
import jax.numpy as jnp

from acme import types
from acme_impala.jax import networks
from acme_jax.program import Acted, Policy


def make_policy(nets: networks.Networks, *, evaluation: bool) -> Policy:
  """The behaviour, which tells replay what it took actions from; or how the agent is evaluated."""

  def act(params: hk.Params, key: jax.Array | None, step: types.Step, core: types.NestedArray) -> Acted:
    observation = jax.tree.map(lambda x: x[:, None], step.observation)  # [N, 1, …]
    # Whoever calls this has begun anew where an episode does.
    start = jnp.zeros((jax.tree.leaves(observation)[0].shape[0], 1), bool)
    policy, _, core = nets.unroll.apply(params, observation, start, core)
    policy = jax.tree.map(lambda x: x[:, 0], policy)  # over [N]
    if key is None:
      return Acted(nets.kind.mode(policy), core=core)
    return Acted(*nets.kind.sample(policy, key), core)

  return Policy(act=act, initial=lambda params, num_envs: nets.initial_core(num_envs), random=not evaluation)
