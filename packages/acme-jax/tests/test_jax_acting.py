"""The one actor: batching, ε, noise, recurrent state, what it records, and its state."""

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import builders, specs
from acme_jax import acting, exploration, program, spaces, variables
from acme_jax.program import Acted, Policy, Program

W = np.eye(4, dtype=np.float32)
SCALAR = specs.Array((), np.float32)
DISCRETE = specs.EnvironmentSpec(specs.Array((4,), np.float32), specs.DiscreteArray(4, np.int64), SCALAR, SCALAR)
CONTINUOUS = DISCRETE._replace(actions=specs.BoundedArray((2,), np.float32, [-1, 0], [1, 10]))


class Source:
  """Parameters w [D, A]."""

  def __init__(self, w=W):
    self.w = w

  def get_variables(self, names):
    assert list(names) == ["params"]
    return [{"w": self.w}]


class Adder:
  def __init__(self):
    self.seen = []

  def add_first(self, timestep):
    self.seen.append(timestep)

  def add(self, action, next_timestep, extras=(), core=()):
    self.seen.append((action, next_timestep, extras, core))

  def save(self):
    return len(self.seen)

  def restore(self, state):
    del self.seen[state:]


def greedy(params, key, step, core):
  assert key is None
  return Acted(jnp.argmax(step.observation @ params["w"], axis=-1))


def noisy(params, key, step, core):
  noise = jax.random.normal(key, (step.observation.shape[0], 4))
  return Acted(jnp.argmax(step.observation @ params["w"] + 5 * noise, axis=-1), {"noise": noise})


def vector(params, key, step, core):
  return Acted(step.observation[:, :2])


def epsilon(value):
  return exploration.EpsilonGreedy(num_actions=4, epsilon=lambda steps: value)


def make_program(behaviour, evaluation=None, spec=DISCRETE):
  space = spaces.make(spec, "test", "discrete", "continuous")
  return Program(init=None, update=None, params=None, variables=None, behaviour=behaviour, evaluation=evaluation,
                 space=space)  # fmt: skip


def make(behaviour, spec=DISCRETE, source=None, **inputs):
  given = builders.ActorInputs(variables=source or Source(), **{"seed": 1, **inputs})
  return acting.Actor(make_program(behaviour, spec=spec), spec, given)


def actor(value=0.0, **inputs):
  return make(Policy(act=greedy, explore=epsilon(value)), **inputs)


def timestep(step_type, observation, reward=0.5, discount=1.0):
  step_type = np.asarray(step_type)
  return dm_env.TimeStep(
    step_type if step_type.ndim else dm_env.StepType(int(step_type)),
    np.full(step_type.shape, reward, np.float32), np.full(step_type.shape, discount, np.float32), observation,
  )  # fmt: skip


def test_one_environment_is_a_batch_of_one():
  one, many = actor(), actor(num_envs=4)
  actions = [one.select_action(row) for row in W]
  batch = many.select_action(W)
  assert actions == [0, 1, 2, 3] == batch.tolist()
  for action, spec in ((actions[0], DISCRETE.actions), (batch, specs.Array((4,), np.int64))):
    spec.validate(action)
  batch[0] = 9  # The environment may write to its actions.


def test_epsilon_is_the_share_of_random_actions():
  n = 4000
  one, many = actor(0.4), actor(0.4, num_envs=n)
  share = np.mean([one.select_action(W[0]) == 0 for _ in range(n)])
  assert share == pytest.approx(0.6 + 0.1, abs=0.03)
  batch = many.select_action(np.repeat(W[:1], n, axis=0))
  assert np.mean(batch == 0) == pytest.approx(0.7, abs=0.03)
  assert batch.dtype == np.int64


def test_epsilon_in_the_call_is_the_same_share():
  n = 8000
  apply = jax.jit(lambda key, action: epsilon(0.4).apply(key, (), 0, exploration.Streams(), action, None)[0])
  actions = np.asarray(apply(jax.random.PRNGKey(0), jnp.zeros(n, jnp.int32)))
  np.testing.assert_allclose(np.bincount(actions, minlength=4) / n, [0.7, 0.1, 0.1, 0.1], atol=0.02)


def test_epsilon_zero_draws_nothing():
  a = actor(0.0)
  before = a.save()["rng"]
  assert {int(a.select_action(W[2])) for _ in range(50)} == {2}
  assert a.save()["rng"] == before


def test_a_ladder_of_epsilons_over_all_streams():
  ladder = exploration.ladder(0.4, 7.0)
  assert [ladder(i, 4) for i in (0, 3)] == pytest.approx([0.4, 0.4**8]) and ladder(0, 1) == 0.4
  explore = exploration.EpsilonGreedy(num_actions=4, epsilon=ladder, by_stream=True)
  np.testing.assert_allclose(explore.values(0, exploration.Streams(2, 4), 2), [ladder(2, 4), ladder(3, 4)], rtol=1e-6)
  first, last = (make(Policy(act=greedy, explore=explore), index=i, num_actors=8) for i in (0, 7))
  shares = [np.mean([a.select_action(W[0]) == 0 for _ in range(2000)]) for a in (first, last)]
  assert shares == pytest.approx([0.6 + 0.1, 1.0], abs=0.04)


def test_schedule_counts_environment_steps_of_all_actors():
  schedule = exploration.linear_schedule(1.0, 0.2, 100)
  assert [schedule(s) for s in (0, 50, 100, 1000)] == pytest.approx([1, 0.6, 0.2, 0.2])
  assert exploration.linear_schedule(1.0, 0.2, 0)(0) == 0.2
  np.testing.assert_allclose(jax.jit(schedule)(jnp.array([0, 50, 100])), [1, 0.6, 0.2], rtol=1e-6)
  seen = []
  explore = exploration.EpsilonGreedy(num_actions=4, epsilon=lambda step: seen.append(step) or 0.0)
  many = make(Policy(act=greedy, explore=explore), num_envs=4, num_actors=3)
  many.observe_first(timestep([0, 0, 0, 0], W))
  for step_type in ([1, 1, 2, 2], [1, 1, 0, 0], [1, 1, 1, 1]):  # Two are passed over.
    many.observe(many.select_action(W), timestep(step_type, W))
  many.select_action(W)
  assert seen == [0, 12, 18, 30]


def test_noise_differs_by_step_actor_and_incarnation():
  def actions(**inputs):
    a = make(Policy(act=noisy, random=True), source=Source(0 * W), **inputs)
    return [int(a.select_action(W[0])) for _ in range(40)]

  assert len(set(actions())) == 4
  assert actions() == actions() != actions(incarnation=1)


def test_exploration_draws_nothing_that_the_policy_draws():
  """Whatever the policy makes of its key: JAX's split and fold_in give the same children."""
  drawn = []

  def splits(params, key, step, core):
    keys = [key, *jax.random.split(key, 4), *(jax.random.fold_in(key, i) for i in range(8))]
    drawn.extend(np.asarray(jax.random.normal(k, (1, 2))) for k in keys)
    return Acted(jnp.zeros((1, 2)))

  agent = make_program(Policy(act=splits, explore=exploration.Gaussian(sigma=0.01), random=True), spec=CONTINUOUS)
  step = acting.make_step(jnp.zeros((1, 4)))
  streams, key = exploration.Streams(), jax.random.PRNGKey(0)
  done = program.execute(agent.behaviour, agent.space, {}, key, np.uint32(5), streams, step, (), ())
  noise = np.asarray(agent.space.from_environment(done.action)) / 0.01
  assert np.abs(noise).max() > 0.1
  assert not any(np.allclose(noise, other, atol=1e-2) for other in drawn)


def test_a_policy_draws_the_same_whoever_explores():
  policy = Policy(act=noisy, explore=epsilon(0.0), random=True)
  agent, key, step = make_program(policy), jax.random.PRNGKey(0), acting.make_step(jnp.zeros((1, 4)))
  arguments = (policy, agent.space, {"w": W}, key, np.uint32(5), exploration.Streams(), step, (), ())
  device, host = (program.execute(*arguments, explore=explore).extras["noise"] for explore in (True, False))
  np.testing.assert_array_equal(device, host)


def test_an_incarnations_keys_are_those_of_no_step():
  keys = [make(Policy(act=noisy, random=True), incarnation=i).save()["key"] for i in range(3)]
  steps = [np.asarray(jax.random.fold_in(keys[0], i)) for i in range(10)]
  assert len(np.unique([*keys, *steps], axis=0)) == 13


@pytest.fixture(params=[False, True], ids=["x32", "x64"])
def precision(request):
  before = jax.config.jax_enable_x64
  jax.config.update("jax_enable_x64", request.param)
  yield
  jax.config.update("jax_enable_x64", before)


@pytest.mark.usefixtures("precision")
def test_noise_keeps_its_dtype():
  action, first = jnp.zeros((3, 2), jnp.float32), np.zeros(3, bool)
  for explore in (
    exploration.OrnsteinUhlenbeck(sigma=0.05, theta=0.1, size=2),
    exploration.Gaussian(sigma=0.1, random_steps=1),
    exploration.Colored(beta=1.0, sigma=0.1, window=5, size=2, random_steps=1),
  ):
    before = explore.initial(3)
    new, after = explore.apply(jax.random.PRNGKey(0), before, 0, exploration.Streams(), action, first)
    assert new.dtype == np.float32
    assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(before)]  # As a scan needs.


@pytest.mark.parametrize("start", [2**31 - 20, 2**32 - 20, 2**40])
def test_steps_may_be_as_many_as_one_likes(start):
  gaussian = exploration.Gaussian(sigma=0.1, random_steps=100)
  a = make(Policy(act=vector, explore=gaussian), CONTINUOUS)
  a.restore({**a.save(), "steps": start})
  actions = np.array([a.select_action(W[2]) for _ in range(60)])
  assert len(np.unique(actions[:, 0])) > 30
  assert np.abs(actions[:, 0]).max() < 0.6  # Not uniform any more.


def test_gaussian_noise_and_random_steps():
  explore = exploration.Gaussian(sigma=0.3, random_steps=4000)
  key, zeros = jax.random.PRNGKey(0), jnp.zeros((4000, 2))
  early, late = (np.asarray(explore.apply(key, (), steps, None, zeros, None)[0]) for steps in (3999, 4000))
  assert np.quantile(early, [0.25, 0.5, 0.75]) == pytest.approx([-0.5, 0, 0.5], abs=0.03)
  assert late.std() == pytest.approx(0.3, abs=0.01)
  a = make(Policy(act=vector, explore=explore), CONTINUOUS)
  for _ in range(30):
    CONTINUOUS.actions.validate(a.select_action(10 * W[0]))


def test_correlated_noise_begins_anew_with_each_episode():
  explore = exploration.OrnsteinUhlenbeck(sigma=0.05, theta=0.1, size=2)
  many = make(Policy(act=vector, explore=explore), CONTINUOUS, num_envs=2)
  observation = np.zeros((2, 4), np.float32)
  many.observe_first(timestep([0, 0], observation))
  for _ in range(30):
    many.observe(many.select_action(observation), timestep([1, 1], observation))
  (long,) = many.save()["state"][1]
  many.observe(many.select_action(observation), timestep([1, 0], observation))
  many.select_action(observation)
  (noise,) = many.save()["state"][1]
  step = 0.05 * 4.5  # No normal draw is larger.
  assert np.abs(noise[1]).max() < step
  np.testing.assert_allclose(noise[0], long[0] * 0.81, atol=2 * step)


def counting(params, key, step, core):
  """Counts the steps of an episode, and reads what came before."""
  count = core["count"] + 1
  extras = {"reward": step.reward, "action": step.action, "discount": step.discount}
  return Acted(count.astype(jnp.int32) % 4, extras, {"count": count})


def memory(reads=("observation", "action", "reward", "discount")):
  initial = lambda params, n: {"count": jnp.zeros(n)}  # noqa: E731
  return Policy(act=counting, initial=initial, reads=reads)


def test_memory_begins_anew_and_sees_the_step_before():
  adder = Adder()
  a = make(memory(), adder=adder)
  for _ in range(2):
    a.observe_first(timestep(0, W[0], 0.0))
    for i in range(1, 4):
      action = a.select_action(W[0])
      assert action == i % 4
      a.observe(action, timestep(1, W[0], reward=0.5 + i, discount=0.9))
  _, _, extras, core = adder.seen[1]
  assert (extras["reward"], extras["action"], extras["discount"]) == (0, 0, 1) and core["count"].shape == (1,)
  _, _, extras, core = adder.seen[3]
  assert (extras["reward"], extras["action"], extras["discount"]) == (2.5, 2, np.float32(0.9))
  steps = [entry for entry in adder.seen if not isinstance(entry, dm_env.TimeStep)]
  assert [float(core["count"][0]) for _, _, _, core in steps] == [0, 1, 2, 0, 1, 2]


def test_memory_of_many_environments():
  adder = Adder()
  a = make(memory(), adder=adder, num_envs=2)
  observation = np.zeros((2, 4), np.float32)
  a.observe_first(timestep([0, 0], observation))
  for step_type in ([1, 2], [1, 0], [1, 1]):
    a.observe(a.select_action(observation), timestep(step_type, observation, reward=2.0))
  a.observe(a.select_action(observation), timestep([1, 1], observation))
  counts = [np.asarray(entry[3]["count"]).tolist() for entry in adder.seen[1:]]
  assert counts == [[0, 0], [1, 1], [2, 0], [3, 1]]
  assert adder.seen[3][2]["reward"].tolist() == [2, 0]  # The second has just begun.


def test_exploring_does_not_forget():
  a = make(Policy(act=counting, initial=memory().initial, reads=memory().reads, explore=epsilon(1.0)))
  a.observe_first(timestep(0, W[0]))
  for _ in range(5):
    a.observe(a.select_action(W[0]), timestep(1, W[0]))
  assert a.save()["state"][0][0].tolist() == [5]


POLICIES = {
  "noisy": Policy(act=noisy, explore=epsilon(0.3), random=True),
  "memory": memory(),
  "correlated": Policy(act=vector, explore=exploration.OrnsteinUhlenbeck(sigma=0.3, theta=0.1, size=2)),
  "colored": Policy(act=vector, explore=exploration.Colored(beta=1.0, sigma=0.3, window=7, size=2)),
}


@pytest.mark.parametrize("num_envs", [None, 4])
@pytest.mark.parametrize("name", POLICIES)
def test_state_goes_on_bit_for_bit(name, num_envs):
  spec = CONTINUOUS if name in ("correlated", "colored") else DISCRETE
  observation = W[0] if num_envs is None else W
  a, b = (make(POLICIES[name], spec, num_envs=num_envs, adder=Adder(), seed=seed) for seed in (1, 2))

  def go(each, steps):
    actions = []
    for i in range(steps):
      actions.append(each.select_action(observation))
      kind = 1 if num_envs is None else [1, 1, 2 if i % 3 == 0 else 1, 0 if i % 3 == 1 else 1]
      each.observe(actions[-1], timestep(kind, observation, reward=float(i)))
    return np.array(actions)

  a.observe_first(timestep(0 if num_envs is None else [0] * 4, observation))
  go(a, 20)
  b.restore(a.save())
  np.testing.assert_array_equal(go(a, 50), go(b, 50))


def test_records_with_the_adder_only():
  adder = Adder()
  a = actor(adder=adder)
  first = dm_env.restart(W[0])
  a.observe_first(first)
  a.observe(1, dm_env.transition(1.0, W[1]))
  assert adder.seen[0] is first
  assert adder.seen[1][0] == 1 and adder.seen[1][2:] == ((), ())
  actor().observe_first(first)


def test_extras_go_with_their_action():
  def act(params, key, step, core):
    return Acted(jnp.argmax(step.observation, axis=-1), {"sum": step.observation.sum(axis=-1)})

  for num_envs, observation, wanted in ((None, W[1] * 3, 3.0), (4, W * 2, [2.0] * 4)):
    adder = Adder()
    a = make(Policy(act=act), adder=adder, num_envs=num_envs)
    a.observe(a.select_action(observation), timestep(1 if num_envs is None else [1] * 4, observation))
    assert np.asarray(adder.seen[0][2]["sum"]).tolist() == wanted


@pytest.mark.parametrize("recorded", [False, True])
def test_evaluation_has_a_policy_of_its_own_and_records_where_it_is_given_an_adder(recorded):
  adder = Adder()
  behaviour, evaluation = Policy(act=greedy, explore=epsilon(1.0)), Policy(act=greedy)
  a = acting.Actor(
    make_program(behaviour, evaluation),
    DISCRETE,
    builders.ActorInputs(variables=Source(), evaluation=True, adder=adder if recorded else None),
  )
  a.observe_first(timestep(0, W[0]))
  assert {int(a.select_action(W[2])) for _ in range(30)} == {2} and len(adder.seen) == recorded


def test_a_program_without_policies_is_refused():
  with pytest.raises(ValueError, match="its builder makes its actors"):
    acting.Actor(make_program(None), DISCRETE, builders.ActorInputs(variables=Source()))


def test_nested_observations_and_actions():
  actions = {"arm": specs.BoundedArray((2,), np.float32, -1, 1), "hand": specs.BoundedArray((), np.float64, -0.1, 0.3)}
  spec = DISCRETE._replace(observations={"a": DISCRETE.observations, "b": SCALAR}, actions=actions)

  def act(params, key, step, core):
    return Acted(jnp.concatenate([step.observation["a"][:, :2], step.observation["b"][:, None]], axis=-1))

  a = make(Policy(act=act), spec)
  action = a.select_action({"a": W[1], "b": 1.0})
  np.testing.assert_array_equal(action["arm"], [0, 1])
  assert action["hand"] == pytest.approx(0.3)
  for name, leaf in actions.items():
    leaf.validate(action[name])


def test_update_takes_new_parameters_by_reference():
  source = Source(jnp.asarray(W))
  client = variables.VariableClient(source, "params")
  assert client.params["w"] is source.w
  source.w = W[::-1]  # numpy's, as from another process
  client.update()
  assert isinstance(client.params["w"], jax.Array)
  a = actor(source=source)
  assert a.select_action(W[0]) == 3
  source.w = W
  assert a.select_action(W[0]) == 3
  a.update()
  assert a.select_action(W[0]) == 0
