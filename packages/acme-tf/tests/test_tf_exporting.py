"""An exported policy acts as the evaluation actor does, from its files alone."""

import collections

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from acme import builders, specs
from acme_testing.exported import CONTINUOUS, SCALAR, check_acts
from acme_tf import acting, exploration, exporting, spaces, variables
from acme_tf.program import Acted, Policy, Program

DISCRETE = specs.EnvironmentSpec(specs.Array((4,), np.float32), specs.DiscreteArray(4, np.int32), SCALAR, SCALAR)
Memory = collections.namedtuple("Memory", "sums steps")


def make_network():
  return variables.create(lambda: snt.Linear(4), np.eye(4, dtype=np.float32))


def greedy(network, seed, step, core):
  return Acted(tf.argmax(network(step.observation), axis=-1))


def remembering(network, seed, step, core):
  told = tf.cast(step.action[:, None], tf.float32) + step.reward[:, None]
  sums = core.sums + network(step.observation) + 0.7 * told
  return Acted(tf.argmax(sums, axis=-1), core=Memory(sums, core.steps + 1))


def begin(network, num_envs):
  return Memory(tf.ones((num_envs, 4)), tf.zeros(num_envs, tf.int32))


def drawing(network, seed, step, core):
  count = tf.cast(step.observation["count"], tf.float32)[:, None]
  arm = network(tf.concat([step.observation["arm"], count], axis=-1))[:, :3]
  return Acted(tf.tanh(arm + 0.1 * tf.random.stateless_normal((1, 3), seed)))


ORNSTEIN = exploration.OrnsteinUhlenbeck(sigma=0.3, theta=0.2, size=3)
POLICIES = {
  "plain": (DISCRETE, Policy(act=greedy, explore=exploration.EpsilonGreedy(num_actions=4, epsilon=lambda steps: 0.0))),
  "recurrent": (DISCRETE, Policy(act=remembering, initial=begin, reads=("observation", "action", "reward"))),
  "noisy": (CONTINUOUS, Policy(act=drawing, random=True, explore=ORNSTEIN)),
}


class Source:
  def __init__(self):
    values = variables.values(make_network().variables)
    self.values = {name: value + np.float32(0.1) for name, value in values.items()}

  def get_variables(self, names):
    return [self.values for _ in names]


def make_program(policy, spec):
  space = spaces.make(spec, "test", "discrete", "continuous")
  return Program(
    init=None, update=None, params=None, make_params=make_network, variables=None, behaviour=policy, evaluation=policy,
    space=space,
  )  # fmt: skip


@pytest.mark.parametrize("kind", POLICIES)
def test_the_files_act_as_the_actor_does(tmp_path, caplog, kind):
  spec, policy = POLICIES[kind]
  source, agent = Source(), make_program(policy, spec)
  taken = exporting.export(agent, spec, source, 3, tmp_path)
  assert not [record for record in caplog.records if record.name == "absl"], "names that TensorFlow must change"
  loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
  params, start = dict(np.load(tmp_path / "params.npz")), dict(np.load(tmp_path / "start.npz"))
  assert all((params[name] == value).all() for name, value in source.values.items())
  actor = acting.Actor(agent, spec, builders.ActorInputs(variables=source, seed=3, evaluation=True))

  def clock(steps):
    return {"seed": start["seed"] + [0, steps]} if "seed" in start else {}

  check_acts(loaded.act, taken, start, actor, spec, clock, rtol=1e-6)


def test_what_is_no_function_is_refused(tmp_path):
  with pytest.raises(ValueError, match="no function of parameters"):
    exporting.export(make_program(None, DISCRETE), DISCRETE, Source(), 0, tmp_path)
  assert not list(tmp_path.iterdir())
