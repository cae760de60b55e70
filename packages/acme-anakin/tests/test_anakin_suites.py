"""Other packages' environments, each where it is installed."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import acme
from acme_anakin import environments
from acme_anakin.environments import suites

slow = pytest.mark.slow  # Physics takes half a minute to compile.

SOME = [
  "gymnax:CartPole-v1",
  "gymnax:Pendulum-v1",
  "gymnax:Breakout-MinAtar",
  pytest.param("brax:inverted_pendulum", marks=slow),
  "jumanji:Snake-v1",
  "jumanji:Game2048-v1",
  "navix:Navix-Empty-5x5-v0",
  "pgx:2048",
  pytest.param("playground:CartpoleBalance", marks=slow),
]


def make(name):
  pytest.importorskip(suites.SUITES[name.partition(":")[0]].module)
  return environments.make(name)


def random_action(spec, key):
  if isinstance(spec, acme.specs.DiscreteArray):
    return jax.random.randint(key, (), 0, spec.num_values, jnp.int32)
  return jax.random.uniform(key, spec.shape, spec.dtype, spec.minimum, spec.maximum)


@pytest.mark.parametrize("name", SOME)
def test_episodes_run_in_a_scan_over_three_at_once(name):
  environment = make(name)
  assert environment.name == name
  spec = environment.spec

  def step(carry, key):
    state, over = carry
    outcome = environment.step(key, state, random_action(spec.actions, key))
    return (outcome.state, over | outcome.last), (outcome[1:], over)

  def run(key):
    state, first = environment.reset(key)
    _, rest = jax.lax.scan(step, (state, jnp.bool_(False)), jax.random.split(key, 60))
    return first, rest

  first, ((observations, rewards, discounts, lasts), over) = jax.jit(jax.vmap(run))(
    jax.random.split(jax.random.PRNGKey(0), 3)
  )
  for leaf, wanted in zip(jax.tree.leaves(first), jax.tree.leaves(spec.observations), strict=True):
    assert (leaf.shape, leaf.dtype) == ((3, *wanted.shape), wanted.dtype)
  assert {leaf.dtype for leaf in jax.tree.leaves(observations)} <= {
    np.dtype(d) for d in (np.float32, np.int32, np.uint8)
  }
  assert rewards.dtype == discounts.dtype == np.float32 and lasts.dtype == bool
  assert np.isfinite(rewards[~over]).all()
  assert set(np.unique(discounts[~over])) <= {0, 1}
  assert np.all(lasts[~over & (discounts == 0)])


def cut_short(environment, action):
  """The last step of an episode of one action, and how many steps it took."""

  def play(key):
    state, observation = environment.reset(key)
    outcome = environment.step(key, state, action)
    return jax.lax.while_loop(
      lambda carry: ~carry[0].last,
      lambda carry: (environment.step(key, carry[0].state, action), carry[1] + 1),
      (outcome, jnp.int32(1)),
    )

  return jax.jit(play)(jax.random.PRNGKey(0))


@pytest.mark.parametrize(
  ("name", "action", "steps", "discount"),
  [
    ("gymnax:Pendulum-v1", np.zeros(1, np.float32), 200, 1),
    ("gymnax:CartPole-v1", 1, None, 0),
    ("gymnax:MountainCar-v0", 1, 200, 1),
    pytest.param("brax:inverted_pendulum", np.ones(1, np.float32), None, 0, marks=slow),
    ("navix:Navix-Empty-5x5-v0", 0, 100, 1),
    pytest.param("playground:CartpoleBalance", np.zeros(1, np.float32), 1000, 1, marks=slow),
  ],
)
def test_endings_of_tasks_and_limits_stay_apart(name, action, steps, discount):
  environment = make(name)
  outcome, taken = cut_short(environment, action)
  assert outcome.discount == discount
  if steps is None:
    assert taken < environment.max_episode_steps
  else:
    assert taken == steps


def test_games_of_two_players_are_refused():
  pytest.importorskip("pgx")
  with pytest.raises(ValueError, match="expected a game of one player, got one of 2"):
    environments.make("pgx:tic_tac_toe")


@pytest.mark.parametrize("suite", suites.SUITES)
def test_unknown_names_are_a_value_error(suite):
  pytest.importorskip(suites.SUITES[suite].module)
  with pytest.raises(ValueError, match=f"{suite}:nothing cannot be made"):
    environments.make(f"{suite}:nothing")


@pytest.mark.parametrize("suite", suites.SUITES)
def test_what_is_missing_is_named(suite, monkeypatch):
  def fail(module):
    raise ModuleNotFoundError(f"No module named {module!r}", name=module)

  monkeypatch.setattr(importlib, "import_module", fail)
  with pytest.raises(ImportError, match=rf"pip install 'acme-anakin\[{suite}\]'"):
    environments.make(f"{suite}:anything")
