"""Acting in environments written in JAX: steps of N at once, and whole episodes.

Shapes: N environments, E episodes, T steps, C sequences.
"""

from typing import Any

import jax
import jax.numpy as jnp
import tree

from acme import types
from acme_anakin.environments import Environment
from acme_anakin.store import Pass
from acme_jax import exploration, networks
from acme_jax.program import Executed, Policy, Program, execute

Array = jax.Array

_ENDLESS = 10_000  # Steps after which an evaluated episode without a limit is cut short.


def reset(environment: Environment, key: Array, num_envs: int) -> tuple[Any, Any]:
  """Begins episodes in N environments: their state and o_0, [N, …] each. The key is consumed."""
  return jax.vmap(environment.reset)(jax.random.split(key, num_envs))


def take_step(environment: Environment, state: Any, executed: Executed, key: Array) -> tuple[Executed, Any]:
  """Takes a step in N environments: what was executed, of the specs' dtypes, and the outcome. The key is consumed."""
  action = tree.map_structure(lambda x, spec: x.astype(spec.dtype), executed.action, environment.spec.actions)
  keys = jax.random.split(key, jax.tree.leaves(action)[0].shape[0])
  return executed._replace(action=action), jax.vmap(environment.step)(keys, state, action)


def first_step(environment: Environment, observation: Any) -> types.Step:
  """The step [N, …] with which episodes begin."""
  spec, num_envs = environment.spec, jax.tree.leaves(observation)[0].shape[0]
  action, reward, discount = networks.zeros((spec.actions, spec.rewards, spec.discounts), num_envs)
  return types.Step(observation, action, reward, jnp.ones_like(discount), jnp.ones(num_envs, bool))


def begin(policy: Policy[Any, Any], params: Any, num_envs: int) -> tuple[Any, Any]:
  """The recurrent state and the noise in which episodes begin."""
  noise = () if policy.explore is None else policy.explore.initial(num_envs)
  return policy.initial(params, num_envs), jax.tree.map(jnp.asarray, noise)


def rollout(program: Program[Any, Any, Any], environment: Environment, params: Any, key: Array, episodes: int) -> Array:
  """Returns of E episodes [E], all at once, by a program's evaluation policy. One without a limit ends at 10,000 steps.

  Args:
    program: the agent's.
    environment: written in JAX.
    params: what the policy acts with.
    key: consumed.
    episodes: E.
  """
  policy = program.evaluation
  assert policy is not None
  limit = environment.max_episode_steps or _ENDLESS
  reset_key, act_key, step_key = jax.random.split(key, 3)
  state, observation = reset(environment, reset_key, episodes)
  step = first_step(environment, observation)
  streams = exploration.Streams(0, episodes)

  def go_on(carry: Any) -> Array:
    *_, over, _, t = carry
    return ~jnp.all(over) & (t < limit)

  def body(carry: Any) -> Any:
    state, step, memory, over, total, t = carry
    executed = execute(policy, program.space, params, act_key, t * episodes, streams, step, *memory)
    executed, outcome = take_step(environment, state, executed, jax.random.fold_in(step_key, t))
    total = total + jnp.where(over, 0, outcome.reward)
    led = (executed.action, outcome.reward, outcome.discount)
    step = types.Step(outcome.observation, *led, start_of_episode=jnp.zeros(episodes, bool))
    return outcome.state, step, (executed.core, executed.noise), over | outcome.last, total, t + 1

  over, zeros = jnp.zeros(episodes, bool), jnp.zeros(episodes, jnp.float32)
  carry = (state, step, begin(policy, params, episodes), over, zeros, jnp.int32(0))
  total: Array = jax.lax.while_loop(go_on, body, carry)[4]
  return total


def see(program: Program[Any, Any, Any], params: Any, key: Array, through: Pass) -> Any:
  """The recurrent states [C, …] with which the sequences of a dataset begin, of an actor that sees its episodes."""
  policy, streams = behaviour(program), exploration.Streams(0, 1)

  def act(core_state: Any, step: types.Step) -> tuple[Any, Any]:
    executed = execute(policy, program.space, params, key, 0, streams, step, core_state, (), explore=False)
    return executed.core, executed.core_before

  _, cores = jax.lax.scan(act, policy.initial(params, 1), through.steps)  # [T, 1, …]
  return jax.tree.map(lambda x: x[through.first, 0], cores)


def behaviour(program: Program[Any, Any, Any]) -> Policy[Any, Any]:
  """How a program that can run in a jitted loop acts while it learns."""
  assert program.behaviour is not None
  return program.behaviour
