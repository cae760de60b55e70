"""The parts together: what is learned from, when learning ends, exact resume, own networks, and that it learns."""

import dataclasses
import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tree

import acme
from acme import experience, loggers, specs, types
from acme_bc import AGENT, BC, BCConfig, balance
from acme_bc.jax import networks
from acme_jax import distributions
from acme_replay import StreamReplay, datasets
from acme_testing import fakes, runs
from acme_testing.tiny import environments

SPEC = fakes.make_spec("vector", "discrete")
SMALL = BCConfig(hidden_sizes=(8,), core_size=4, sequence_length=4, batch_size=8, held_out=0.25)


@pytest.fixture(scope="module")
def path():
  return runs.dataset(SPEC)


def make_loop(agent, every=5, **options):
  options = {"logger": loggers.NullLogger()} | options
  return acme.LearningLoop(agent.learner, evaluate=agent.learner.evaluate, evaluate_every=every, **options)


class Watched:
  """A learner's dataset that notes what comes by."""

  def __init__(self, inner):
    self.inner, self.seen = inner, []

  def __next__(self):
    sample = next(self.inner)
    self.seen.append(sample.data.observation)
    return sample


@pytest.mark.parametrize("core", [None, "gru"])
def test_held_out_episodes_are_never_trained_on(path, core):
  """The observations of all batches and of the held-out ones have none in common, and together are all there are."""
  agent = BC(SPEC, config=dataclasses.replace(SMALL, dataset=path, core=core))
  agent.learner._dataset = watched = Watched(agent.learner._dataset)
  make_loop(agent).run(num_steps=60)
  rows = lambda batches: {row.tobytes() for batch in batches for row in batch.reshape(-1, 5) if row.any()}  # noqa: E731
  trained = rows(watched.seen)
  held_out = rows(sample.data.observation for sample in agent.replay.once(held_out=True))
  episodes = list(datasets.read(path, acme.builders.step_spec(SPEC)))
  last = 0 if core else 1  # What an episode ends with is in no transition's observation.
  everything = rows(episode.observation[: len(episode.observation) - last] for episode in episodes)
  apart = rows(episodes[i].observation[: len(episodes[i].observation) - last] for i in (2, 6, 10))
  assert held_out == apart and not trained & held_out and trained | held_out == everything


def test_the_best_parameters_are_those_that_it_gives_and_it_stops(path):
  config = dataclasses.replace(SMALL, dataset=path, patience=2, learning_rate=0.03)  # Learns the noise by heart.
  agent, rows, params = BC(SPEC, config=config), loggers.InMemoryLogger(), {}
  loop = make_loop(agent, logger=rows)
  while not agent.learner.finished:
    assert loop.run(num_steps=5) == 5
    state = agent.learner.save()["state"]  # The newest ones, in whose order the parameters come first.
    params[loop.steps] = state[: len(jax.tree.leaves(agent.get_variables(["policy"])))]
  losses = [row["held_out_loss"] for row in rows.rows]
  best = int(np.argmin(losses))
  assert len(losses) == best + 3 and loop.run(num_steps=5) == 0
  assert all({"train_loss", "held_out_loss", "held_out_accuracy"} <= row.keys() for row in rows.rows)
  given = jax.tree.leaves(agent.get_variables(["policy"]))
  jax.tree.map(np.testing.assert_array_equal, given, params[5 * (best + 1)])
  assert not all(map(np.array_equal, given, params[loop.steps]))


@pytest.mark.parametrize("changes", [{}, {"core": "lstm"}, {"class_balance": True, "normalize": True}], ids=str)
def test_resumes_exactly_with_its_split_and_its_patience(path, changes):
  config = dataclasses.replace(SMALL, dataset=path, patience=3, learning_rate=0.03, **changes)
  agents = [BC(SPEC, config=config, seed=seed) for seed in (0, 1)]
  loop, other = map(make_loop, agents)
  loop.run(num_steps=13)  # Between two evaluations.
  agents[1].restore(agents[0].save())
  other.restore(loop.save())
  taken = [each.run(num_steps=60) for each in (loop, other)]
  assert taken[0] == taken[1] and not runs.difference(agents[0].save(), agents[1].save())


def test_without_evaluations_or_held_out_episodes_the_newest_parameters_are_given(path):
  agent = BC(SPEC, config=dataclasses.replace(SMALL, dataset=path, held_out=0.0))
  before = jax.tree.leaves(agent.get_variables(["policy"]))
  make_loop(agent).run(num_steps=10)
  assert agent.learner.evaluate() == {} and not agent.learner.finished
  assert not all(map(np.array_equal, before, jax.tree.leaves(agent.get_variables(["policy"]))))


def test_class_balance_counts_the_training_episodes(path, monkeypatch):
  seen = []
  count = balance.class_weights
  monkeypatch.setattr(balance, "class_weights", lambda *args: seen.append(count(*args)) or seen[-1])
  BC(SPEC, config=dataclasses.replace(SMALL, dataset=path, class_balance=True))
  episodes = list(datasets.read(path, acme.builders.step_spec(SPEC)))
  actions = np.concatenate([episode.action for i, episode in enumerate(episodes) if i not in (2, 6, 10)])
  np.testing.assert_allclose(seen[0], len(actions) / 3 / np.bincount(actions), rtol=1e-6)


def test_any_iterator_of_transitions_will_do():
  def batches(seed):
    rng = np.random.default_rng(seed)
    while True:
      observation = rng.normal(size=(16, 5)).astype(np.float32)
      action = (observation[:, 0] > 0).astype(np.int32)
      yield types.Transition(observation, action, *np.zeros((2, 16), np.float32), observation)

  replay = functools.partial(StreamReplay, batches(0), held_out=lambda: [next(batches(1))])
  agent = BC(SPEC, config=dataclasses.replace(SMALL, learning_rate=0.03), replay=replay)
  rows = loggers.InMemoryLogger()
  make_loop(agent, 50, logger=rows).run(num_steps=200)
  assert rows.rows[-1]["held_out_accuracy"] > 0.85
  with pytest.raises(ValueError, match="class_balance"):
    BC(SPEC, config=dataclasses.replace(SMALL, class_balance=True), replay=replay)


def test_without_a_dataset_it_says_what_it_needs():
  with pytest.raises(ValueError, match="learns from recorded episodes alone.*--dataset PATH"):
    BC(SPEC)


def test_experience():
  def make(**changes):
    builder = AGENT.builder(dataclasses.replace(SMALL, dataset="there", **changes))
    return builder.make_experience(SPEC, builder.make_program(SPEC))

  assert isinstance(make(), experience.Transitions) and make().held_out == 0.25 and not make().acting
  sequences = make(core="gru")
  assert isinstance(sequences, experience.Sequences) and (sequences.length, sequences.period) == (4, 4)


def test_images_go_through_convolutions():
  spec = SPEC._replace(observations=specs.BoundedArray((42, 42, 1), np.uint8, 0, 255))
  for core in (None, "lstm"):
    nets = networks.make_networks(spec, dataclasses.replace(SMALL, core=core))
    params = jax.eval_shape(nets.init, jax.random.PRNGKey(0))
    assert any("atari_torso" in name for name in params)


def own_network(kind, size, core=None):
  def make():
    hidden = hk.Linear(4, name="mine")
    return lambda o: jnp.tanh(hidden(o)), core and core(), lambda x: kind(hk.Linear(size)(x))

  return make


def test_own_network(path):
  config = dataclasses.replace(SMALL, dataset=path)
  agent = BC(SPEC, config=config, network=own_network(distributions.Categorical, 3))
  assert agent.get_variables(["policy"])[0]["mine"]["w"].shape == (5, 4)
  make_loop(agent).run(num_steps=5)
  recurrent = own_network(distributions.Categorical, 3, lambda: hk.VanillaRNN(4))
  make_loop(BC(SPEC, config=dataclasses.replace(config, core="gru"), network=recurrent)).run(num_steps=5)
  for network, words in [
    (own_network(distributions.Categorical, 7), r"Categorical with arrays \(1, 3\)"),
    (own_network(lambda x: x, 3), "gives a Categorical"),
    (recurrent, "expected a core where"),
  ]:
    with pytest.raises(ValueError, match=words):
      BC(SPEC, config=config, network=network)
  with pytest.raises(TypeError, match="a function that makes torso, core and head"):
    BC(SPEC, config=config, network="mlp")


def test_class_balance_is_for_discrete_actions():
  spec = fakes.make_spec("vector", "continuous")
  with pytest.raises(ValueError, match=r"BCConfig.class_balance.*continuous"):
    BC(spec, config=dataclasses.replace(SMALL, class_balance=True))


@pytest.mark.parametrize("values", [{"continuous_loss": "l1"}, {"held_out": 1.5}, {"patience": 0}, {"core": "rnn"}])
def test_wrong_configs(values):
  with pytest.raises(ValueError, match=f"BCConfig.{next(iter(values))}"):
    BCConfig(**values)


def record(folder, environment, act, num_episodes):
  """Episodes of `act`, a function of the observations so far."""
  for i in range(num_episodes):
    timesteps, actions = [environment.reset()], []
    while not timesteps[-1].last():
      actions.append(act([t.observation for t in timesteps]))
      timesteps.append(environment.step(actions[-1]))
    columns = ([t.observation for t in timesteps], actions, [t.reward for t in timesteps[1:]],
               [t.discount for t in timesteps[1:]])  # fmt: skip
    datasets.write(folder / f"{i:03}.npz", datasets.Episode(*map(np.stack, columns)))
  return str(folder)


CASES = {
  "discrete": (True, {"label_smoothing": 0.1, "class_balance": True}),
  "mse": (False, {}),
  "gaussian": (False, {"continuous_loss": "gaussian"}),
  "tanh_gaussian": (False, {"continuous_loss": "tanh_gaussian"}),
}


@pytest.mark.parametrize("name", CASES)
def test_learns_what_was_done(name, tmp_path):
  discrete, changes = CASES[name]
  environment = fakes.Reach(discrete)
  expert = lambda o: np.int32(o[0][0] > 0) if discrete else np.float32(o[0][0])  # noqa: E731
  path = record(tmp_path, environment, expert, 60)
  config = BCConfig(dataset=path, hidden_sizes=(32,), batch_size=32, learning_rate=1e-2, **changes)
  agent = BC(acme.make_environment_spec(environment), config=config, seed=100)
  make_loop(agent, 50).run(num_steps=300)
  results = acme.evaluate(fakes.Reach(discrete), agent.make_evaluator(), 30, seed=1)
  assert np.mean([result["episode_return"] for result in results]) >= -0.1


def test_remembers(tmp_path):
  """The cue is in the first observation alone."""
  environment = environments.Cue()
  path = record(tmp_path, environment, lambda o: np.int32(np.argmax(o[0][:3])), 40)
  config = BCConfig(dataset=path, hidden_sizes=(16,), core="gru", core_size=16, sequence_length=8, batch_size=16,
                    learning_rate=1e-2)  # fmt: skip
  agent = BC(acme.make_environment_spec(environment), config=config, seed=100)
  make_loop(agent, 50).run(num_steps=200)
  results = acme.evaluate(environments.Cue(), agent.make_evaluator(), 20, seed=1)
  assert all(result["episode_return"] == 1 for result in results)
  assert len({leaf.dtype for leaf in tree.flatten(agent.get_variables(["policy"]))}) == 1
