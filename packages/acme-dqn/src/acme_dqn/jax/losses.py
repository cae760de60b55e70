"""DQN's losses, one function for each equation, for a single transition; `vmap` them at the caller.

Each returns the loss and the priority, without the importance weight. `discount_t` is γ^n Π d, so 0 at a termination;
targets pass no gradient. A "value" is the target network's, a "selector" chooses the action.

Shapes: A actions, K atoms or quantiles.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import rlax

Array = jax.Array


class Loss(NamedTuple):
  """Of one transition."""

  loss: Array  # []
  priority: Array  # [], 0 or more


class Munchausen(NamedTuple):
  """The constants of Munchausen's targets."""

  alpha: float  # scale of the log-policy in the reward
  temperature: float  # τ
  clip: float  # l_0, the least value of τ log π


def q_learning(
  q_tm1: Array, a_tm1: Array, r_t: Array, discount_t: Array, q_t_value: Array, q_t_selector: Array, delta: float
) -> Loss:
  """Double Q-learning: huber(r_t + γ_t q_value(argmax_a q_selector(a)) − q_tm1(a_tm1)); the priority is |δ|.

  All q are [A]. With the value as selector it is plain Q-learning. References: 1509.06461; Mnih et al. 2015.
  """
  chex.assert_rank([a_tm1, r_t, discount_t, q_tm1], [0, 0, 0, 1])
  chex.assert_equal_shape([q_tm1, q_t_value, q_t_selector])
  td_error = rlax.double_q_learning(q_tm1, a_tm1, r_t, discount_t, q_t_value, q_t_selector)
  return Loss(rlax.huber_loss(td_error, delta), jnp.abs(td_error))


def categorical_q_learning(
  atoms: Array, logits_tm1: Array, a_tm1: Array, r_t: Array, discount_t: Array, logits_t: Array, q_t_selector: Array
) -> Loss:
  """C51: the cross-entropy from the projection of r_t + γ_t z onto the atoms; the priority is the KL divergence.

  Args:
    atoms: [K] the support.
    logits_tm1: [A, K].
    a_tm1: [] int.
    r_t: [].
    discount_t: [].
    logits_t: [A, K] of the target network.
    q_t_selector: [A].

  References: Bellemare et al. 2017 (1707.06887), algorithm 1; Hessel et al. 2017 (1710.02298), for the priority.
  """
  chex.assert_rank([a_tm1, r_t, discount_t, logits_tm1], [0, 0, 0, 2])
  chex.assert_equal_shape([logits_tm1, logits_t])
  chex.assert_shape([q_t_selector, atoms], [logits_t.shape[:1], logits_t.shape[1:]])
  probabilities = jax.nn.softmax(logits_t[jnp.argmax(q_t_selector)])  # [K]
  target = rlax.categorical_l2_project(r_t + discount_t * atoms, probabilities, atoms)  # [K]
  return _cross_entropy(target, logits_tm1[a_tm1])


def quantile_q_learning(
  quantiles_tm1: Array,
  a_tm1: Array,
  r_t: Array,
  discount_t: Array,
  quantiles_t: Array,
  q_t_selector: Array,
  delta: float,
) -> Loss:
  """QR-DQN: Σ_i E_j[ρ^κ_{τ_i}(r_t + γ_t θ_j − θ_i)] at the midpoints τ_i; the priority is |δ| of the means.

  Quantiles are [A, K], the selector [A]; `delta` is κ. Reference: Dabney et al. 2017 (1710.10044), algorithm 1.
  """
  chex.assert_rank([a_tm1, r_t, discount_t, quantiles_tm1], [0, 0, 0, 2])
  chex.assert_equal_shape([quantiles_tm1, quantiles_t])
  chex.assert_shape(q_t_selector, quantiles_t.shape[:1])
  target = r_t + discount_t * quantiles_t[jnp.argmax(q_t_selector)]  # [K]
  return _quantile_regression(target, quantiles_tm1[a_tm1], delta)


def munchausen_q_learning(
  q_tm1: Array,
  a_tm1: Array,
  r_t: Array,
  discount_t: Array,
  q_tm1_value: Array,
  q_t_value: Array,
  delta: float,
  constants: Munchausen,
) -> Loss:
  """M-DQN: the target r_t + α [τ log π(a_tm1)]_{l_0}^0 + γ_t Σ_a π(a) (q_t(a) − τ log π(a)), π = softmax(q_value / τ).

  All q are [A]. Reference: Vieillard et al. 2020 (2007.14430), equation 1. Deviation: over n steps the bonus and the
  entropy count for the first and the last observation, not for those between.
  """
  chex.assert_rank([a_tm1, r_t, discount_t, q_tm1], [0, 0, 0, 1])
  chex.assert_equal_shape([q_tm1, q_tm1_value, q_t_value])
  policy, entropy = _soft_policy(q_t_value, constants)  # [A], [A]
  bonus = _log_policy_bonus(q_tm1_value, a_tm1, constants)
  target = r_t + bonus + discount_t * jnp.sum(policy * (q_t_value + entropy))
  td_error = jax.lax.stop_gradient(target) - q_tm1[a_tm1]
  return Loss(rlax.huber_loss(td_error, delta), jnp.abs(td_error))


def munchausen_categorical_q_learning(
  atoms: Array,
  logits_tm1: Array,
  a_tm1: Array,
  r_t: Array,
  discount_t: Array,
  logits_tm1_value: Array,
  logits_t: Array,
  constants: Munchausen,
) -> Loss:
  """The target of `munchausen_q_learning` as a distribution: the mixture, by π, of each action's projected one.

  Action a contributes the projection of r_t + bonus + γ_t (z − τ log π(a)), so that the mean is that of M-DQN, save for
  returns outside the atoms. Logits are [A, K]. Our extension of 2007.14430, which has it for quantiles (M-IQN).
  """
  chex.assert_rank([a_tm1, r_t, discount_t, logits_tm1], [0, 0, 0, 2])
  chex.assert_equal_shape([logits_tm1, logits_tm1_value, logits_t])
  chex.assert_shape(atoms, logits_t.shape[1:])
  probabilities = jax.nn.softmax(logits_t)  # [A, K]
  policy, entropy = _soft_policy(probabilities @ atoms, constants)  # [A], [A]
  bonus = _log_policy_bonus(jax.nn.softmax(logits_tm1_value) @ atoms, a_tm1, constants)
  support = r_t + bonus + discount_t * (atoms + entropy[:, None])  # [A, K]
  projected = jax.vmap(rlax.categorical_l2_project, (0, 0, None))(support, probabilities, atoms)  # [A, K]
  return _cross_entropy(policy @ projected, logits_tm1[a_tm1])


def munchausen_quantile_q_learning(
  quantiles_tm1: Array,
  a_tm1: Array,
  r_t: Array,
  discount_t: Array,
  quantiles_tm1_value: Array,
  quantiles_t: Array,
  delta: float,
  constants: Munchausen,
) -> Loss:
  """M-IQN's target at fixed quantiles: θ_j = r_t + bonus + γ_t Σ_a π(a) (θ_j(a) − τ log π(a)).

  Quantiles are [A, K]. Reference: Vieillard et al. 2020 (2007.14430), appendix on M-IQN.
  """
  chex.assert_rank([a_tm1, r_t, discount_t, quantiles_tm1], [0, 0, 0, 2])
  chex.assert_equal_shape([quantiles_tm1, quantiles_tm1_value, quantiles_t])
  policy, entropy = _soft_policy(jnp.mean(quantiles_t, axis=-1), constants)  # [A], [A]
  bonus = _log_policy_bonus(jnp.mean(quantiles_tm1_value, axis=-1), a_tm1, constants)
  target = r_t + bonus + discount_t * policy @ (quantiles_t + entropy[:, None])  # [K]
  return _quantile_regression(target, quantiles_tm1[a_tm1], delta)


def _cross_entropy(target: Array, logits: Array) -> Loss:
  """Cross-entropy, and KL divergence, from `target` [K], probabilities, to `logits` [K]."""
  target = jax.lax.stop_gradient(target)
  loss = -jnp.sum(target * jax.nn.log_softmax(logits))
  divergence = loss + jnp.sum(jax.scipy.special.xlogy(target, target))
  return Loss(loss, jnp.maximum(divergence, 0))  # Rounding may take it below 0.


def _quantile_regression(target: Array, quantiles: Array, delta: float) -> Loss:
  """The quantile Huber loss of `quantiles` [K], at midpoints, against samples `target` [K]."""
  k = quantiles.shape[0]
  tau = (jnp.arange(k) + 0.5) / k  # [K]
  target = jax.lax.stop_gradient(target)
  loss = rlax.quantile_regression_loss(quantiles, tau, target, delta)
  return Loss(loss, jnp.abs(jnp.mean(target) - jnp.mean(quantiles)))


def _soft_policy(q: Array, constants: Munchausen) -> tuple[Array, Array]:
  """π = softmax(q / τ) and −τ log π, both [A]."""
  log_policy = jax.nn.log_softmax(q / constants.temperature)
  return jnp.exp(log_policy), -constants.temperature * log_policy


def _log_policy_bonus(q: Array, action: Array, constants: Munchausen) -> Array:
  """α [τ log π(action)]_{l_0}^0: []."""
  log_policy = jax.nn.log_softmax(q / constants.temperature)[action]
  return constants.alpha * jnp.clip(constants.temperature * log_policy, constants.clip, 0)
