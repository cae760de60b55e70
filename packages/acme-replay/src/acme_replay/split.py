"""Which episodes of a dataset are held out from learning."""

from acme.experience import exact


def held_out(number: int, share: float) -> frozenset[int]:
  """Chooses episodes by their places in the order of a dataset: always the same ones, spread evenly over it.

  Args:
    number: of episodes.
    share: of them, from 0 to 1.

  Returns:
    The places of round(share · number), of one at least where the share is not 0.

  Raises:
    ValueError: nothing would be left.
  """
  if not share:
    return frozenset()
  chosen = max(1, round(exact(share) * number))
  if chosen >= number:
    raise ValueError(
      f"held_out: of {number} episodes {chosen} would be held out, and none left to learn from: expected a smaller "
      f"share than {share:g}, or more episodes."
    )
  return frozenset((2 * i + 1) * number // (2 * chosen) for i in range(chosen))
