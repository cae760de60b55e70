"""How MPO acts: it samples its policy while it learns, and takes the policy's mode when it is evaluated."""

import sonnet as snt
import tensorflow as tf

from acme import types
from acme_mpo import config as mpo_config
from acme_tf import exploration, mpo
from acme_tf.program import Acted, Policy


def make_policy(nets: mpo.Networks, config: mpo_config.MPOConfig, *, evaluation: bool) -> Policy:
  """The behaviour; with Retrace it tells replay the log-probability of what it did.

  Raises:
    ValueError: the config asks for pink noise, and actions are discrete.
  """

  def act_greedily(network: snt.Module, seed: None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(nets.kind.bounded(network(step.observation).mode()))

  if evaluation:
    return Policy(act=act_greedily)
  if config.noise == "pink":
    return _make_pink(nets, config)

  def act(network: snt.Module, seed: tf.Tensor, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    policy = network(step.observation)
    action = nets.kind.sample(policy, seed)  # [N, D] or [N], as it is executed
    return Acted(action, {"log_prob": policy.log_prob(action)} if config.retrace else ())

  return Policy(act=act, random=True)


def _make_pink(nets: mpo.Networks, config: mpo_config.MPOConfig) -> Policy:
  """Samples by a = μ + σ x_t; the noise of an episode is the recurrent state."""
  mpo_config.check_continuous(config, isinstance(nets.kind, mpo.Continuous))
  pink = exploration.Colored(beta=1.0, sigma=1.0, window=config.pink_window, size=nets.kind.size)

  def act(
    network: snt.Module, seed: tf.Tensor, step: types.Step, core: exploration.Window
  ) -> Acted[exploration.Window]:
    policy = network(step.observation)
    x, core = pink.advance(seed, core, tf.zeros(policy.loc.shape[0], tf.bool))  # [N, D]
    action = nets.kind.bounded(policy.loc + policy.scale * x)  # [N, D]
    return Acted(action, {"log_prob": policy.log_prob(action)} if config.retrace else (), core)

  return Policy(act=act, initial=lambda network, num_envs: pink.initial(num_envs), random=True)
