"""How D4PG acts: by its policy, with Gaussian noise while it learns."""

import sonnet as snt
import tensorflow as tf

from acme import types
from acme_d4pg import config as d4pg_config
from acme_tf import exploration
from acme_tf.program import Acted, Policy


def make_policy(config: d4pg_config.D4PGConfig, *, evaluation: bool) -> Policy:
  """The behaviour; for evaluation without noise."""

  def act(policy: snt.Module, seed: tf.Tensor | None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(policy(step.observation))  # [N, D]

  noise = exploration.Gaussian(sigma=config.sigma, random_steps=config.random_steps)
  return Policy(act=act, explore=None if evaluation else noise)
