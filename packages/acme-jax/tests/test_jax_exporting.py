"""An exported policy acts as the evaluation actor does, from its files alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export

from acme import builders, specs
from acme_jax import acting, exploration, exporting, spaces
from acme_jax.program import Acted, Policy, Program
from acme_testing.exported import CONTINUOUS, SCALAR, check_acts

pytest.importorskip("flatbuffers")
DISCRETE = specs.EnvironmentSpec(specs.Array((4,), np.float32), specs.DiscreteArray(4, np.int64), SCALAR, SCALAR)


class Memory(NamedTuple):
  sums: jax.Array
  steps: jax.Array


class Source:
  def __init__(self, params):
    self.params = params

  def get_variables(self, names):
    return [self.params for _ in names]


def greedy(params, key, step, core):
  return Acted(jnp.argmax(step.observation @ params["w"], axis=-1))


def remembering(params, key, step, core):
  sums = core.sums + step.observation + params["layers"][0] * (step.action[:, None] + step.reward[:, None])
  return Acted(jnp.argmax(sums, axis=-1), core=Memory(sums, core.steps + 1))


def begin(params, num_envs):
  return Memory(jnp.ones((num_envs, 4)), jnp.zeros(num_envs, jnp.int32))


def drawing(params, key, step, core):
  arm = step.observation["arm"] * params["w"] + 0.1 * jax.random.normal(key, (1, 3))
  return Acted(jnp.tanh(arm + step.observation["count"][:, None]))


POLICIES = {
  "plain": (DISCRETE, Policy(act=greedy, explore=exploration.EpsilonGreedy(num_actions=4, epsilon=lambda steps: 0.0))),
  "recurrent": (DISCRETE, Policy(act=remembering, initial=begin, reads=("observation", "action", "reward"))),
  "drawing": (CONTINUOUS, Policy(act=drawing, random=True)),
  "noisy": (
    CONTINUOUS,
    Policy(act=drawing, random=True, explore=exploration.OrnsteinUhlenbeck(sigma=0.3, theta=0.2, size=3)),
  ),
}
PARAMS = {
  "plain": {"w": np.diag([1.0, 2, 3, 4]).astype(np.float32)},
  "recurrent": {"layers": [np.float32(0.7)]},
  "drawing": {"w": np.float32([1, 2, 3])},
  "noisy": {"w": np.float32([1, 2, 3])},
}


def make_program(policy, spec):
  space = spaces.make(spec, "test", "discrete", "continuous")
  return Program(init=None, update=None, params=None, variables=None, behaviour=policy, evaluation=policy, space=space)


@pytest.mark.parametrize("kind", POLICIES)
def test_the_files_act_as_the_actor_does(tmp_path, kind):
  spec, policy = POLICIES[kind]
  source, agent = Source(PARAMS[kind]), make_program(policy, spec)
  taken = exporting.export(agent, spec, source, 3, tmp_path)
  act = jax.jit(jax_export.deserialize(bytearray((tmp_path / "policy.jax").read_bytes())).call)
  params, start = dict(np.load(tmp_path / "params.npz")), dict(np.load(tmp_path / "start.npz"))
  assert taken["params"].keys() == params.keys() and taken["inputs"].keys() >= start.keys()
  actor = acting.Actor(agent, spec, builders.ActorInputs(variables=source, seed=3, evaluation=True))

  def clock(steps):
    return {"steps": np.uint32(steps)} if "steps" in start else {}

  # 2.1e-6 on the oldest JAX.
  check_acts(lambda inputs: act(params, inputs), taken, start, actor, spec, clock, rtol=3e-6)


def test_what_goes_in_and_comes_out_is_named(tmp_path):
  spec, policy = POLICIES["recurrent"]
  taken = exporting.export(make_program(policy, spec), spec, Source(PARAMS["recurrent"]), 0, tmp_path)
  assert taken["params"] == {"layers/0": {"dtype": "float32", "shape": []}}
  assert set(taken["inputs"]) == {"observation", "action", "reward", "core/sums", "core/steps", "start_of_episode"}
  assert taken["outputs"]["action"] == {"dtype": "int32", "shape": []} == taken["inputs"]["action"]


def test_what_is_no_function_is_refused(tmp_path):
  with pytest.raises(ValueError, match="no function of parameters"):
    exporting.export(make_program(None, DISCRETE), DISCRETE, Source({}), 0, tmp_path)
  assert not list(tmp_path.iterdir())
