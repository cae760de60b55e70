"""DMPO's learner step against loops in float64, and what its targets, draws and multipliers do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from acme import replay, types
from acme_dmpo import DMPOConfig
from acme_dmpo.jax import learning, networks
from acme_jax import mpo
from acme_testing import fakes

B, N, K = 6, 5, 11
SMALL = DMPOConfig(policy_hidden_sizes=(8,), critic_hidden_sizes=(8,), num_samples=N, num_atoms=K, vmin=-2.0, vmax=2.0,
                   initial_log_temperature=0.5, initial_log_alpha_mean=0.7, initial_log_alpha_stddev=2.0)  # fmt: skip
ATOMS = np.linspace(-2, 2, K, dtype=np.float32)
RNG = np.random.default_rng(0)


def make(actions, config=SMALL):
  """Networks, a state whose targets are others, and a batch."""
  spec = fakes.make_spec("vector", actions)
  nets = networks.make_networks(spec, config)
  init = jax.jit(lambda key: learning.make_state(nets, config, key))
  state, other = init(jax.random.PRNGKey(0)), init(jax.random.PRNGKey(1))
  larger = jax.tree.map(lambda x: 3 * x, (state.params.policy, other.params.policy))  # Heads are near zero at first.
  params = state.params._replace(policy=larger[0])
  state = state._replace(params=params, target_policy=larger[1], target_critic=other.params.critic)
  o, o_t = RNG.normal(size=(2, B, 5)).astype(np.float32)
  action = np.stack([fakes.random_value(spec.actions, RNG) for _ in range(B)])
  reward, discount = RNG.normal(size=B).astype(np.float32), RNG.choice([0, 0.6, 1], size=B).astype(np.float32)
  return nets, state, replay.Sample(types.Transition(o, action, reward, discount, o_t), (), np.ones(B), ())


def project(returns, probabilities, atoms):
  """Each mass is shared linearly between the two atoms around it."""
  target = np.zeros(len(atoms))
  for value, mass in zip(np.clip(returns, atoms[0], atoms[-1]), probabilities, strict=True):
    place = (value - atoms[0]) / (atoms[1] - atoms[0])
    low = min(int(place), len(atoms) - 2)
    target[low] += mass * (low + 1 - place)
    target[low + 1] += mass * (place - low)
  return target


@pytest.mark.parametrize("actions", ["continuous", "discrete"])
def test_one_step_against_loops(actions):
  """The critic's loss and the values that improve the policy, state by state; `acme_jax.mpo` has tests of its own."""
  nets, state, sample = make(actions)
  data, atoms = sample.data, np.float64(ATOMS)
  noise = nets.kind.draw(jax.random.fold_in(state.key, state.steps), 2 * B)
  policy, critic = jax.jit(nets.policy.apply), jax.jit(nets.critic.apply)
  discrete = actions == "discrete"
  settings = mpo.Settings.of(SMALL)
  improve = jax.jit(lambda *inputs: (mpo.categorical_loss if discrete else mpo.gaussian_loss)(*inputs, settings))

  def candidates(o, i):
    """Of a state: the target policy, its actions [N, D], their probabilities [N], and their distributions [N, K]."""
    target = jax.tree.map(lambda x: x[0], policy(state.target_policy, o[None]))
    if discrete:
      logits = critic(state.target_critic, o[None])[0]
      return target, None, softmax(np.float64(target.logits)), softmax(np.float64(logits), axis=-1)
    a = target.mean + target.stddev * noise[:, i]
    logits = [critic(state.target_critic, o[None], x[None])[0] for x in np.clip(a, -1, 1)]
    return target, a, np.full(N, 1 / N), softmax(np.float64(logits), axis=-1)

  critic_loss, policy_loss = [], []
  for b in range(B):
    _, _, p, z = candidates(data.next_observation[b], B + b)
    target = project(data.reward[b] + SMALL.discount * data.discount[b] * atoms, p @ z, atoms)
    o = data.observation[b][None]
    if discrete:
      logits = critic(state.params.critic, o)[0, data.action[b]]
    else:
      logits = critic(state.params.critic, o, nets.kind.stored(data.action[b][None]))[0]
    critic_loss.append(-target @ (np.float64(logits) - logsumexp(np.float64(logits))))
    target, a, _, z = candidates(data.observation[b], b)
    online = jax.tree.map(lambda x: x[0], policy(state.params.policy, o))
    q = np.float32(z @ atoms)
    inputs = (online, target, q) if discrete else (online, target, a, q)
    policy_loss.append(improve(state.params.duals, *inputs).total)

  after, priorities, metrics = jax.jit(learning.make_update(nets, SMALL, ATOMS))(state, sample)
  assert priorities is None and after.steps == 1
  np.testing.assert_allclose(metrics["loss"], np.mean(critic_loss), rtol=1e-5)
  np.testing.assert_allclose(metrics["policy_loss"], np.mean(policy_loss), rtol=1e-5)


def test_losses_do_not_reach_each_others_parameters():
  """Neither target gets a gradient; the critic gets none of the policy's loss, nor the policy of the critic's."""
  nets, state, sample = make("continuous")
  loss, noise = learning.make_loss(nets, SMALL, ATOMS), nets.kind.draw(state.key, 2 * B)

  @jax.jit
  def gradients(params, target_policy, target_critic):
    def part(name):
      return lambda *inputs: loss(*inputs, sample.data, noise)[1][name]

    inputs = (params, target_policy, target_critic)
    return [jax.grad(part(name), argnums=(0, 1, 2))(*inputs) for name in ("loss", "policy_loss")]

  critic, policy = gradients(state.params, state.target_policy, state.target_critic)
  for nest in (critic[0].policy, critic[0].duals, policy[0].critic, critic[1:]):
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(nest))
  assert all(np.any(leaf) for leaf in jax.tree.leaves((critic[0].critic, policy[0].policy, policy[0].duals)))


def test_targets_follow_at_their_periods_and_multipliers_have_a_floor():
  config = dataclasses.replace(SMALL, target_policy_period=2, target_critic_period=3, initial_log_alpha_mean=-30.0)
  nets, state, sample = make("discrete", config)
  update = jax.jit(learning.make_update(nets, config, ATOMS))
  for step in range(1, 7):
    state, _, metrics = update(state, sample)
    for name, period in (("policy", 2), ("critic", 3)):
      pairs = zip(*(map(jax.tree.leaves, (getattr(state.params, name), getattr(state, f"target_{name}")))), strict=True)
      assert all(np.array_equal(*pair) for pair in pairs) == (step % period == 0)
    assert state.params.duals["alpha_policy"] >= -18
  assert {"loss", "policy_loss", "q", "temperature", "alpha_policy", "kl_policy", "kl_weights"} <= metrics.keys()


def test_each_step_draws_anew():
  nets, state, sample = make("continuous")
  update = jax.jit(learning.make_update(nets, SMALL, ATOMS))
  losses = {float(update(state._replace(steps=jnp.int32(i)), sample)[2]["policy_loss"]) for i in range(3)}
  assert len(losses) == 3
