"""How MPO acts: it samples its policy while it learns, and takes the policy's mode when it is evaluated."""

import haiku as hk
import jax
import jax.numpy as jnp

from acme import types
from acme_jax import exploration, mpo
from acme_jax.program import Acted, Policy
from acme_mpo import config as mpo_config


def make_policy(nets: mpo.Networks, config: mpo_config.MPOConfig, *, evaluation: bool) -> Policy:
  """The behaviour; with Retrace it tells replay the log-probability of what it did.

  Raises:
    ValueError: the config asks for pink noise, and actions are discrete.
  """

  def act_greedily(params: hk.Params, key: None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(nets.kind.bounded(nets.policy.apply(params, step.observation).mode()))

  if evaluation:
    return Policy(act=act_greedily)
  if config.noise == "pink":
    return _make_pink(nets, config)

  def act(params: hk.Params, key: jax.Array, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    policy = nets.policy.apply(params, step.observation)
    action = nets.kind.bounded(policy.sample(key))  # [N, D] or [N], as it is executed
    return Acted(action, {"log_prob": policy.log_prob(action)} if config.retrace else ())

  return Policy(act=act, random=True)


def _make_pink(nets: mpo.Networks, config: mpo_config.MPOConfig) -> Policy:
  """Samples by a = μ + σ x_t; the noise of an episode is the recurrent state."""
  mpo_config.check_continuous(config, isinstance(nets.kind, mpo.Continuous))
  pink = exploration.Colored(beta=1.0, sigma=1.0, window=config.pink_window, size=nets.kind.size)

  def act(params: hk.Params, key: jax.Array, step: types.Step, core: exploration.Window) -> Acted[exploration.Window]:
    policy = nets.policy.apply(params, step.observation)
    x, core = pink.advance(key, core, jnp.zeros(policy.mean.shape[0], bool))  # [N, D]; begun anew where an episode is.
    action = nets.kind.bounded(policy.mean + policy.stddev * x)  # [N, D]
    return Acted(action, {"log_prob": policy.log_prob(action)} if config.retrace else (), core)

  return Policy(act=act, initial=lambda params, num_envs: pink.initial(num_envs), random=True)
