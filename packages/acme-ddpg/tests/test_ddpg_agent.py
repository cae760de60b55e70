"""DDPG's parts together, in both backends: actions within their bounds, configs, networks of one's own."""

import dataclasses
import functools
import sys

import numpy as np
import pytest
import tree
from dm_env.specs import Array, BoundedArray, DiscreteArray

from acme import specs
from acme_ddpg import AGENT, DDPG, DDPGConfig
from acme_testing import fakes, scaling

SMALL = DDPGConfig(policy_hidden_sizes=(16,), critic_hidden_sizes=(16,), batch_size=8, min_replay_size=16,
                   max_replay_size=1000, samples_per_insert=4.0, random_steps=8, pink_window=7)  # fmt: skip
ACTIONS = {
  "vector": BoundedArray((3,), np.float32, [-1, 0, 2], [1, 10, 3]),
  "nested": {"arm": BoundedArray((2,), np.float32, -1, 1), "hand": (BoundedArray((1,), np.float64, -0.1, 0.3),)},
}
FRAMEWORKS = {"jax": "haiku", "tf": "sonnet"}


@pytest.fixture(params=["jax", "tf"])
def backend(request):
  pytest.importorskip(FRAMEWORKS[request.param], reason="this backend is not installed")
  return request.param


def _spec(actions):
  return specs.EnvironmentSpec(
    Array((4,), np.float32), actions, Array((), np.float32), BoundedArray((), np.float32, 0, 1)
  )


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize("noise", ["gaussian", "ou", "pink"])
@pytest.mark.parametrize("actions", ACTIONS.values(), ids=ACTIONS)
def test_actions_keep_their_spec(backend, actions, noise, num_envs):
  config = dataclasses.replace(SMALL, sigma=2.0, noise=noise)
  agent = DDPG(_spec(actions), config=config, backend=backend, num_envs=num_envs)
  observation = np.ones((4,) if num_envs is None else (num_envs, 4), np.float32)
  for _ in range(12):
    chosen = agent.select_action(observation)
    for i in range(num_envs or 1):
      action = chosen if num_envs is None else tree.map_structure(lambda leaf, i=i: leaf[i], chosen)
      tree.map_structure(lambda spec, leaf: spec.validate(np.asarray(leaf)), actions, action)


@pytest.mark.parametrize(
  ("actions", "message"),
  [
    (DiscreteArray(3), "DDPG needs continuous actions"),
    (Array((2,), np.float32), "finite bounds"),
    (BoundedArray((0,), np.float32, 0, 1), "Expected an action of one number or more"),
  ],
)
def test_wrong_actions(backend, actions, message):
  with pytest.raises(ValueError, match=message):
    DDPG(_spec(actions), backend=backend)


@pytest.mark.parametrize(
  "values",
  [
    {"critic_hidden_sizes": ()},
    {"sigma": -0.1},
    {"noise": "brown"},
    {"target_update_rate": 1.5},
    {"policy_period": 0},
    {"min_replay_size": 2_000_000},
  ],
)
def test_wrong_configs(values):
  with pytest.raises(ValueError, match="DDPGConfig"):
    DDPGConfig(**values)


def _own(backend, hidden, num_critics):
  """A policy and critics of one's own, for actions of 3."""
  spec = _spec(ACTIONS["vector"]).observations
  if backend == "jax":
    import haiku as hk

    from acme_jax import control
  else:
    from acme_tf import control

    policy = functools.partial(control.DeterministicPolicy, spec, 3, (hidden,), name="mine")
    return policy, functools.partial(control.Critic, spec, num_critics, (hidden,), name="mine")
  policy = hk.transform(lambda o: control.DeterministicPolicy(spec, 3, (hidden,), name="mine")(o))
  return policy, hk.transform(lambda o, a: control.Critic(spec, num_critics, (hidden,), name="mine")(o, a))


@pytest.mark.parametrize("num_critics", [1, 2])
def test_own_networks(backend, num_critics):
  make = functools.partial(
    DDPG, _spec(ACTIONS["vector"]), config=dataclasses.replace(SMALL, twin_critic=num_critics == 2), backend=backend
  )
  names = ["policy", "critic", "target_policy", "target_critic"]
  for nest in make(network=_own(backend, 4, num_critics)).get_variables(names):
    assert all(name.startswith("mine/") for name in nest)
  with pytest.raises(TypeError, match="network: expected a pair"):
    make(network=_own(backend, 4, num_critics)[0])
  with pytest.raises(ValueError, match=r"outputs \[K\]"):
    make(network=_own(backend, 4, 3 - num_critics))


def test_missing_tensorflow_is_named(monkeypatch):
  for name in [name for name in sys.modules if name.partition(".")[0] == "acme_tf" or name.startswith("acme_ddpg.tf")]:
    monkeypatch.delitem(sys.modules, name)
  monkeypatch.setitem(sys.modules, "tensorflow", None)
  with pytest.raises(ImportError, match=r'pip install "acme-ddpg\[tf\]"'):
    AGENT.builder(backend="tf")


def test_observations_are_scaled_in_jax_alone():
  pytest.importorskip("sonnet", reason="this backend is not installed")
  with pytest.raises(
    ValueError, match='DDPGConfig.normalize_observations: the TensorFlow backend lacks it.*backend="jax"'
  ):
    DDPG(fakes.make_spec("vector", "continuous"), config=DDPGConfig(normalize_observations=True), backend="tf")


def test_a_run_on_scaled_observations_goes_on_exactly():
  scaling.check_resume(AGENT)


@pytest.mark.slow
def test_learns_from_observations_far_from_zero():
  config = DDPGConfig(
    normalize_observations=True, policy_hidden_sizes=(32,), critic_hidden_sizes=(32,), batch_size=32,
    min_replay_size=200, samples_per_insert=16.0, policy_learning_rate=1e-3, critic_learning_rate=3e-3,
    random_steps=200, max_replay_size=10_000,
  )  # fmt: skip
  scaling.check_learning(functools.partial(DDPG, config=config, seed=100))
