"""Both backends, given the same weights, do the same: searches visit alike, three steps learn alike.

Values agree to 1e-5, relative to the largest of their array. Gradients are read from Adam's first moments, which after
one step are a tenth of them, so they are those that the learner used.
"""

import functools

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-mcts[tf]"')

import jax
import tensorflow as tf

import acme
from acme import replay, specs, types
from acme_mcts import MCTSConfig, Simulator, search
from acme_mcts.jax import learning as jax_learning
from acme_mcts.jax import networks as jax_networks
from acme_mcts.jax import search as jax_search
from acme_mcts.tf import learning as tf_learning
from acme_mcts.tf import search as tf_search
from acme_testing import fakes
from acme_tf import variables

B, A, STEPS = 16, 3, 3
SMALL = {"hidden_sizes": (8, 6), "target_update_period": 2}
VECTOR = specs.Array((4,), np.float32)
OBSERVATIONS = {
  "vector": VECTOR,
  "nested": {
    "image": specs.BoundedArray((36, 36, 1), np.uint8, 0, 255),
    "kind": specs.DiscreteArray(3),
    "vector": VECTOR,
  },
}
CONVOLUTIONS = {f"conv_{i}": f"conv2_d{suffix}" for i, suffix in enumerate(("", "_1", "_2"))}
CASES = {
  "learned model": (True, "vector", {}),
  "simulator": (False, "vector", {}),
  "learned model, nested": (True, "nested", {}),
  "simulator, nested": (False, "nested", {}),
  "copied target": (True, "vector", {"target_update_period": 1}),
  "max_gradient_norm": (True, "vector", {"max_gradient_norm": 1e-2}),
}


def make_spec(observations):
  scalar = specs.Array((), np.float32)
  return specs.EnvironmentSpec(OBSERVATIONS[observations], specs.DiscreteArray(A), scalar, scalar)


def haiku_name(name):
  """Sonnet's `prediction_network/trunk/linear_0/w` as Haiku's `trunk/~/linear_0/w`."""
  name = name.partition("/")[2].replace("trunk/", "trunk/~/").replace("atari_torso_0", "~_features/atari_torso")
  return "/".join(CONVOLUTIONS.get(part, part) for part in name.split("/"))


def flat(params):
  return {f"{module}/{leaf}": np.asarray(value) for module, part in params.items() for leaf, value in part.items()}


def make_jax(spec, config, learned_model):
  """A state whose target differs from the online network, and whose outputs are not near zero."""
  nets = jax_networks.make_networks(spec, config, learned_model)
  state, other = (jax_learning.make_state(nets, config, jax.random.PRNGKey(seed)) for seed in (0, 1))
  for params in (state.params.prediction, other.params.prediction):
    for head in ("policy", "value"):
      params[head]["w"] = params[head]["w"] * 100
  return nets, state._replace(target_params=other.params.prediction)


def parts_of_jax(state):
  transition = {} if state.params.transition is None else {"transition": flat(state.params.transition)}
  return {"prediction": flat(state.params.prediction), "target": flat(state.target_params), **transition}


def modules(nets, target):
  """The Sonnet modules that have what `parts_of_jax` gives."""
  transition = {} if nets.transition is None else {"transition": nets.transition}
  return {"prediction": nets.prediction, "target": target, **transition}


def make_tf(spec, config, learned_model, parts):
  state = tf_learning.make_state(spec, config, learned_model, seed=2)
  for name, module in modules(state.online, state.target).items():
    names = variables.named(module.variables)
    assert sorted(map(haiku_name, names)) == sorted(parts[name])
    variables.assign(module.variables, {key: parts[name][haiku_name(key)] for key in names})
  return state


def make_sample(spec, seed):
  rng = np.random.default_rng(seed)

  def observe():
    one = [fakes.random_value(spec.observations, rng) for _ in range(B)]
    return tf.nest.map_structure(lambda *leaves: np.stack(leaves), *one)

  data = types.Transition(
    observation=observe(),
    action=rng.integers(A, size=B).astype(np.int32),
    reward=rng.normal(size=B).astype(np.float32),
    discount=rng.choice([0, 0.6, 1], size=B).astype(np.float32),
    next_observation=observe(),
    extras={"policy": rng.dirichlet(np.ones(A), size=B).astype(np.float32)},
  )
  return replay.Sample(data, (), np.ones(B, np.float32), ())


def first_moments(opt_state):
  def is_adam(node):
    return hasattr(node, "mu")

  (adam,) = filter(is_adam, jax.tree.leaves(opt_state, is_leaf=is_adam))
  return adam.mu


def steps_of_jax(nets, state, config, learned_model, samples):
  update = jax.jit(jax_learning.make_update(nets, config, learned_model))
  for sample in samples:
    state, priorities, metrics = update(state, sample)
    assert priorities is None
    moments = first_moments(state.opt_state)
    found = {f"{name} moments": flat(part) for name, part in moments._asdict().items() if part is not None}
    yield {"metrics": metrics, **parts_of_jax(state), **found}


def steps_of_tf(state, config, samples):
  update = tf.function(functools.partial(tf_learning.make_update(config), state))
  slots = [module for module in state.online if module is not None]
  for sample in samples:
    _, metrics = update(sample)
    parts = {name: variables.values(m.variables) for name, m in modules(state.online, state.target).items()}
    moments = iter(state.optimizer.m)
    for name, module in zip(("prediction", "transition"), slots, strict=False):
      names = variables.named(module.trainable_variables)
      parts[f"{name} moments"] = {key: next(moments).numpy() for key in names}
    renamed = {name: {haiku_name(key): value for key, value in part.items()} for name, part in parts.items()}
    yield {"metrics": metrics, **renamed}


@pytest.mark.parametrize(("learned_model", "observations", "changes"), CASES.values(), ids=CASES)
def test_three_steps(learned_model, observations, changes):
  spec, config = make_spec(observations), MCTSConfig(**{**SMALL, **changes})
  samples = [make_sample(spec, seed) for seed in range(STEPS)]
  nets, state = make_jax(spec, config, learned_model)
  theirs = make_tf(spec, config, learned_model, parts_of_jax(state))
  expected = list(steps_of_jax(nets, state, config, learned_model, samples))
  found = list(steps_of_tf(theirs, config, samples))
  for step in range(STEPS):
    assert expected[step].keys() == found[step].keys()
    for kind, values in expected[step].items():
      assert values.keys() == found[step][kind].keys()
      for name, value in values.items():
        value = np.asarray(value)
        assert "moments" not in kind or np.any(value), f"there is no gradient of {name}"
        # Where terms of size 1 cancel, what is left is small beside their rounding. Adam divides by a gradient's own
        # size: of one in a thousand, of which little is left, a step may be rounding, too.
        error, largest = np.abs(found[step][kind][name] - value), np.max(np.abs(value))
        if "moments" in kind or kind == "metrics":
          assert np.max(error) <= 1e-5 * largest + 1e-7, f"step {step}: {kind} {name}"
        else:
          fits = error <= 1e-5 * largest + 1e-4 * config.learning_rate
          assert np.mean(fits) > 0.999 and np.max(error) < 0.01 * config.learning_rate, f"step {step}: {kind} {name}"


class Client:
  """The parameters of a JAX model."""

  def __init__(self, params):
    self.params = params


@pytest.mark.parametrize("evaluation_batch", [1, 8])
@pytest.mark.parametrize("with_simulator", [False, True])
def test_searches_visit_alike(with_simulator, evaluation_batch):
  environment = fakes.FakeEnvironment(fakes.make_spec("vector", "discrete"), episode_length=20)
  spec = acme.make_environment_spec(environment)
  config = MCTSConfig(hidden_sizes=(8, 6), evaluation_batch=evaluation_batch)
  simulator = Simulator(environment, rollout_steps=3) if with_simulator else None
  nets, state = make_jax(spec, config, not with_simulator)
  theirs = make_tf(spec, config, not with_simulator, parts_of_jax(state))
  models = [
    jax_search.make_model(nets, Client(state.params), spec, config, simulator),
    tf_search.make_model(theirs.online, spec, config, simulator),
  ]
  timestep, visits = environment.reset(), []
  for step in range(5):
    one, other = (
      search.search(model, timestep.observation, config, np.random.default_rng(step), noise=True) for model in models
    )
    np.testing.assert_array_equal(one.visits, other.visits)
    np.testing.assert_allclose(one.q_values, other.q_values, rtol=1e-4, atol=1e-5)
    visits.append(tuple(one.visits))
    timestep = environment.step(environment.action_spec().dtype.type(one.best_action()))
  assert len(set(visits)) > 1
