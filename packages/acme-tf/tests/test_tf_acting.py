"""The actor: batches, exploration, memory, what it records, its steps, and exact saving."""

import dm_env
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from acme import builders, core, specs
from acme_tf import acting, exploration, networks, program, spaces, variables

DISCRETE = specs.DiscreteArray(4, np.int64)
BOUNDED = {
  "arm": specs.BoundedArray((2,), np.float64, [-1, 0], [1, 4]),
  "hand": specs.BoundedArray((), np.float32, -2, 0),
}
X = np.eye(4, dtype=np.float32)  # Observations: `greedy` takes action i in X[i].
FIRST, MID, LAST = (int(kind) for kind in dm_env.StepType)


def make_spec(actions=DISCRETE, dtype=np.float32):
  return specs.EnvironmentSpec(
    specs.Array((4,), dtype), actions, specs.Array((), np.float64), specs.Array((), np.float64)
  )


class Source(core.VariableSource):
  """Values of a linear layer of A outputs, the identity unless `w` says otherwise."""

  def __init__(self, w=X):
    self.w = w

  def get_variables(self, names):
    assert list(names) == [program.PARAMS]
    return [{"linear/b": np.zeros(self.w.shape[1], np.float32), "linear/w": self.w}]


class Adder:
  def __init__(self):
    self.calls = []

  def add_first(self, timestep):
    self.calls.append(timestep)

  def add(self, action, next_timestep, extras=(), core=()):
    self.calls.append((action, extras, core))

  def save(self):
    return {}

  def restore(self, state):
    pass


def greedy(network, seed, step, core):
  return program.Acted(tf.argmax(network(step.observation), axis=-1))


def make_program(policy, space, size=4):
  return program.Program(
    init=lambda seed: None, update=lambda state, sample: (None, {}), params=lambda state: None,
    make_params=lambda: variables.create(lambda: snt.Linear(size), X[:1]), variables=lambda state: {},
    behaviour=policy, evaluation=program.Policy(act=policy.act, initial=policy.initial), space=space)  # fmt: skip


def make(policy=None, spec=None, source=None, seed=1, **kwargs):
  """An actor that is greedy unless `policy` says otherwise."""
  spec = make_spec() if spec is None else spec
  policy = program.Policy(act=greedy) if policy is None else policy
  space = spaces.make(spec, "Test", "discrete", "continuous")
  agent = make_program(policy, space, getattr(space, "size", 4))
  return acting.Actor(agent, spec, builders.ActorInputs(variables=source or Source(), seed=seed, **kwargs))


def epsilon_greedy(epsilon, **others):
  explore = exploration.EpsilonGreedy(num_actions=4, epsilon=epsilon, **others)
  return program.Policy(act=greedy, explore=explore)


def timesteps(observations, step_types, reward=0.0):
  n = len(step_types)
  return dm_env.TimeStep(np.array(step_types), np.full(n, reward), np.ones(n), observations)


def test_one_environment_is_a_batch_of_one():
  one, many = make(), make(num_envs=4)
  actions = [one.select_action(row) for row in X]
  batch = many.select_action(X)
  assert actions == [0, 1, 2, 3] == batch.tolist()
  DISCRETE.validate(actions[0])
  assert batch.dtype == np.int64
  batch[0] = 9  # The environment may write to its actions.


def test_acts_by_the_sources_newest_variables():
  source = Source()
  actor = make(source=source)
  assert actor.select_action(X[0]) == 0
  source.w = np.ascontiguousarray(X[::-1])
  assert actor.select_action(X[0]) == 0
  actor.update()
  assert actor.select_action(X[0]) == 3


def test_float64_observations_are_seen_as_float32():
  actor = make(spec=make_spec(dtype=np.float64))
  assert actor.select_action(X[2].astype(np.float64)) == 2


def test_epsilon_is_the_share_of_random_actions():
  policy, n = epsilon_greedy(lambda steps: 0.4), 2000
  one, many = make(policy), make(policy, num_envs=n)
  share = np.mean([one.select_action(X[0]) == 0 for _ in range(n)])
  assert share == pytest.approx(0.6 + 0.1, abs=0.04)
  batch = many.select_action(np.repeat(X[:1], n, axis=0))
  assert np.mean(batch == 0) == pytest.approx(0.7, abs=0.04)
  evaluating = make(policy, num_envs=n, evaluation=True)
  assert not evaluating.select_action(np.repeat(X[:1], n, axis=0)).any()


def test_the_ladder_gives_each_stream_its_epsilon():
  ladder = exploration.ladder(0.4, 7)
  np.testing.assert_allclose([ladder(0, 1), ladder(0, 3), ladder(1, 3), ladder(2, 3)], [0.4, 0.4, 0.4**4.5, 0.4**8])
  actor = make(
    epsilon_greedy(lambda stream, total: float((stream, total) == (3, 4)), by_stream=True),
    num_envs=2,
    index=1,
    num_actors=2,
  )
  actions = np.array([actor.select_action(X[:2]) for _ in range(40)])
  assert not actions[:, 0].any() and set(actions[:, 1]) == {0, 1, 2, 3}


def test_steps_are_those_of_all_actors_and_count_no_passed_over_actions():
  seen = []
  actor = make(epsilon_greedy(lambda steps: seen.append(steps) or 0.0), num_envs=4, num_actors=3)
  actor.observe_first(timesteps(X, [FIRST] * 4))
  for kinds in ([MID] * 4, [MID, LAST, MID, LAST], [MID, FIRST, MID, FIRST], [MID] * 4):
    actor.observe(actor.select_action(X), timesteps(X, kinds))
  assert seen == [0, 12, 24, 30]
  schedule = exploration.linear_schedule(1.0, 0.2, 100)
  assert [schedule(s) for s in (0, 50, 100, 1000)] == pytest.approx([1, 0.6, 0.2, 0.2])
  assert exploration.linear_schedule(1.0, 0.2, 0)(0) == 0.2


def exploring(explore):
  def act(network, seed, step, core):
    return program.Acted(0 * network(step.observation))  # [N, D], the middle of each range

  return program.Policy(act=act, explore=explore)


def gaussian(sigma, random_steps=0):
  return exploring(exploration.Gaussian(sigma=sigma, random_steps=random_steps))


@pytest.mark.parametrize("num_envs", [None, 3])
def test_gaussian_noise_is_scaled_and_clipped_to_a_nest_of_bounds(num_envs):
  batch = num_envs or 1
  observation = X[:batch] if num_envs else X[0]

  def draw(sigma, number, random_steps=0, **kwargs):
    policy, w = gaussian(sigma, random_steps), np.zeros((4, 3), np.float32)
    actor = make(policy, make_spec(BOUNDED), Source(w), num_envs=num_envs, **kwargs)
    return [actor.select_action(observation) for _ in range(number)]

  actions = draw(0.1, 400)
  arm = np.array([a["arm"] for a in actions]).reshape(-1, 2)
  assert arm.dtype == np.float64 and np.shape(actions[0]["hand"]) == ((num_envs,) if num_envs else ())
  np.testing.assert_allclose(arm.std(axis=0), [0.1, 0.2], rtol=0.15)
  np.testing.assert_allclose(arm.mean(axis=0), [0, 2], atol=0.03)
  wild = np.array([a["arm"] for a in draw(50.0, 5)]).reshape(-1, 2)
  assert (wild >= [-1, 0]).all() and (wild <= [1, 4]).all()
  drawn = np.array([a["arm"] for a in draw(0.0, 301, random_steps=300 * batch)])
  np.testing.assert_allclose(drawn[:300].reshape(-1, 2).std(axis=0), np.array([2, 4]) / 12**0.5, rtol=0.15)
  np.testing.assert_array_equal(drawn[300].reshape(-1, 2), [[0, 2]] * batch)
  np.testing.assert_array_equal(draw(0.3, 1, evaluation=True)[0]["hand"], -np.ones(num_envs or ()))


def sampling(network, seed, step, core):
  """Draws an action, and says what it knew."""
  logits = network(step.observation)
  noise = tf.random.stateless_uniform(logits.shape, seed)
  return program.Acted(tf.argmax(noise, axis=-1), {"logits": logits})


class Recurrent:
  """Counts steps from `begin` on, and acts by what it has counted, a_{t-1} and r_t."""

  begin = 10.0

  def initial(self, network, num_envs):
    return {"count": tf.fill([num_envs], self.begin)}

  def act(self, network, seed, step, core):
    action = (tf.cast(core["count"], tf.int64) + step.action + tf.cast(step.reward, tf.int64)) % 4
    return program.Acted(action, (), {"count": core["count"] + 1})

  @property
  def policy(self):
    return program.Policy(act=self.act, initial=self.initial, reads=("observation", "action", "reward"))


def test_extras_go_to_the_adder():
  adder = Adder()
  actor = make(program.Policy(act=sampling, random=True), adder=adder)
  actor.observe_first(dm_env.restart(X[0]))
  action = actor.select_action(X[1])
  actor.observe(action, dm_env.transition(0.0, X[0]))
  np.testing.assert_array_equal(adder.calls[1][1]["logits"], X[1])
  many, adder = make(program.Policy(act=sampling, random=True), num_envs=2, adder=(other := Adder())), other
  many.observe(many.select_action(X[:2]), timesteps(X[:2], [MID, MID]))
  np.testing.assert_array_equal(adder.calls[0][1]["logits"], X[:2])
  evaluating = make(program.Policy(act=sampling), evaluation=True, adder=adder)
  evaluating.observe_first(dm_env.restart(X[0]))
  assert len(adder.calls) == 2


def test_extras_are_given_where_epsilon_chooses_too():
  def act(network, seed, step, core):
    return program.Acted(tf.argmax(step.observation, axis=-1), {"o": step.observation})

  adder = Adder()
  actor = make(
    program.Policy(act=act, explore=exploration.EpsilonGreedy(num_actions=4, epsilon=lambda s: 1.0)), adder=adder
  )
  for row in X:
    actor.observe(actor.select_action(row), dm_env.transition(0.0, row))
  np.testing.assert_array_equal([extras["o"] for _, extras, _ in adder.calls], X)


def test_memory_and_what_came_before_begin_anew_with_an_episode():
  adder = Adder()
  actor = make(Recurrent().policy, adder=adder)
  for _ in range(2):
    actor.observe_first(dm_env.restart(X[0]))
    for reward in (1.0, 0.0, 2.0):
      actor.observe(actor.select_action(X[0]), dm_env.transition(reward, X[0]))
  steps = [call for call in adder.calls if not isinstance(call, dm_env.TimeStep)]
  assert [float(core["count"][0]) for *_, core in steps] == [10, 11, 12] * 2
  # 10 % 4; 11 + 2 + 1; 12 + 2 + 0.
  assert [int(action) for action, *_ in steps] == [2, 2, 2] * 2


def test_memory_of_one_environment_begins_anew_alone():
  adder = Adder()
  actor = make(Recurrent().policy, num_envs=2, adder=adder)
  actor.observe_first(timesteps(X[:2], [FIRST, FIRST]))
  for kinds in ([MID, LAST], [MID, FIRST], [MID, MID]):
    actor.observe(actor.select_action(X[:2]), timesteps(X[:2], kinds, reward=1.0))
  counts = [core["count"].tolist() for *_, core in adder.calls[1:]]
  assert counts == [[10, 10], [11, 11], [12, 10]]
  actions = [action.tolist() for action, *_ in adder.calls[1:]]
  assert actions == [[2, 2], [2, 2], [3, 2]]  # 10; 11 + 2 + 1; 12 + 2 + 1 and, anew, 10.


@pytest.mark.parametrize("kind", ["epsilon", "gaussian", "ou", "colored", "sampling", "recurrent"])
@pytest.mark.parametrize("num_envs", [None, 2])
def test_restoring_continues_the_same_actions(kind, num_envs):
  policy = {
    "epsilon": epsilon_greedy(lambda steps: 0.5),
    "gaussian": gaussian(0.3, random_steps=7),
    "ou": exploring(exploration.OrnsteinUhlenbeck(sigma=0.3, theta=0.1, size=3)),
    "colored": exploring(exploration.Colored(beta=1.0, sigma=0.3, window=7, size=3)),
    "sampling": program.Policy(act=sampling, random=True),
    "recurrent": Recurrent().policy,
  }[kind]
  spec, size = (make_spec(BOUNDED), 3) if kind in ("gaussian", "ou", "colored") else (make_spec(), 4)
  observation = X[0] if num_envs is None else X[:2]

  def make_it(seed):
    return make(policy, spec, Source(np.eye(4, size, dtype=np.float32)), seed, num_envs=num_envs)

  def go_on(actor, number):
    actions = []
    for _ in range(number):
      action = actor.select_action(observation)
      actions.append(np.concatenate([np.ravel(leaf) for leaf in tf.nest.flatten(action)]))
      step = timesteps(observation, [MID, MID], 1.0) if num_envs else dm_env.transition(1.0, observation)
      actor.observe(action, step)
    return actions

  actor = make_it(2**40 + 3)
  go_on(actor, 5)
  state = actor.save()
  later = go_on(actor, 8)
  assert kind == "recurrent" or len(np.unique(later, axis=0)) > 1
  other = make_it(0)
  other.restore(state)
  np.testing.assert_array_equal(later, go_on(other, 8))


def test_an_actor_made_anew_draws_otherwise():
  policy = program.Policy(act=sampling, random=True)
  first, again, anew = (make(policy, incarnation=i) for i in (0, 0, 1))
  one, two, three = ([int(actor.select_action(X[0])) for _ in range(30)] for actor in (first, again, anew))
  assert one == two != three


def test_a_program_without_a_policy_is_refused():
  agent = make_program(program.Policy(act=greedy), spaces.Discrete(DISCRETE))
  agent = program.Program(**{**vars(agent), "behaviour": None})
  with pytest.raises(ValueError, match="its builder makes its actors"):
    acting.Actor(agent, make_spec(), builders.ActorInputs(variables=Source()))


def test_continuous_space_goes_both_ways_within_the_bounds():
  space = spaces.Continuous(BOUNDED)
  assert space.size == 3
  for x, arm, hand in ((-1, [-1, 0], -2), (0, [0, 2], -1), (1, [1, 4], 0)):
    action = space.to_environment(tf.fill((1, 3), float(x)))
    np.testing.assert_allclose(action["arm"], [arm])
    np.testing.assert_allclose(action["hand"], [hand])
    np.testing.assert_allclose(space.from_environment(action), np.full((1, 3), x), atol=1e-6)
  for spec in (specs.BoundedArray((1,), np.float32, -3.3, 0.7), specs.BoundedArray((1,), np.float64, -0.1, 0.1)):
    space = spaces.Continuous(spec)
    for x in (-1.0, 1.0):
      spec.validate(space.to_host(space.to_environment(tf.fill((1, 1), x)))[0])  # float32 rounds past 0.1.
  with pytest.raises(ValueError, match="maximum above its minimum"):
    spaces.Continuous(specs.BoundedArray((1,), np.float32, 1, 1))
  with pytest.raises(ValueError, match="Test needs discrete actions"):
    spaces.make(make_spec(BOUNDED), "Test", "discrete")


def test_zeros_fit_a_nest():
  assert networks.zeros(BOUNDED, 2)["arm"].shape == (2, 2)
