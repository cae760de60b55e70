"""Optimizers whose gradient, over all parameters together, has a largest norm."""

import optax


def falling(learning_rate: float, steps: int | None) -> optax.ScalarOrSchedule:
  """A rate that falls to 0 in a straight line in so many SGD steps; with None one that stays."""
  return learning_rate if steps is None else optax.linear_schedule(learning_rate, 0.0, steps)


def adam(
  learning_rate: optax.ScalarOrSchedule, *, epsilon: float = 1e-8, max_gradient_norm: float | None = None
) -> optax.GradientTransformation:
  """Adam (Kingma & Ba 2014, 1412.6980) with β = (.9, .999).

  Args:
    learning_rate: a number, or a function of the step.
    epsilon: added to the root of the second moment.
    max_gradient_norm: gradients of a larger global norm are scaled down to it; None for any.

  Returns:
    The optimizer.
  """
  return _clipped(optax.adam(learning_rate, eps=epsilon), max_gradient_norm)


def rmsprop(
  learning_rate: optax.ScalarOrSchedule,
  *,
  decay: float = 0.99,
  epsilon: float = 0.1,
  max_gradient_norm: float | None = None,
) -> optax.GradientTransformation:
  """RMSProp without momentum; the defaults are those of IMPALA's published code (Espeholt et al. 2018, 1802.01561).

  Args:
    learning_rate: a number, or a function of the step.
    decay: of the mean square, from 0 to 1.
    epsilon: added to the mean square, within the root.
    max_gradient_norm: gradients of a larger global norm are scaled down to it; None for any.

  Returns:
    The optimizer.
  """
  return _clipped(optax.rmsprop(learning_rate, decay=decay, eps=epsilon), max_gradient_norm)


def _clipped(optimizer: optax.GradientTransformation, max_gradient_norm: float | None) -> optax.GradientTransformation:
  if max_gradient_norm is None:
    return optimizer
  return optax.chain(optax.clip_by_global_norm(max_gradient_norm), optimizer)
