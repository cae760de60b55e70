"""What the checks and copies at the border with an environment cost a step: `python benchmarks/border.py`.

CartPole with and without `acme.wrappers.checked.Checked`, by turns; the difference is the median of the turns' own.
"""

import time

import gymnasium
import numpy as np

import acme
from acme.wrappers import checked

TURNS, STEPS = 41, 2_000


def main() -> None:
  plain = acme.wrappers.GymWrapper(gymnasium.make("CartPole-v1"))
  border = checked.Checked(acme.wrappers.GymWrapper(gymnasium.make("CartPole-v1")))
  for environment in (plain, border):
    microseconds(environment)
  differences = [microseconds(border) - microseconds(plain) for _ in range(TURNS)]
  low, median, high = np.quantile(differences, [0.25, 0.5, 0.75])
  print(f"{median:.1f} µs a step, quartiles {low:.1f} to {high:.1f}, over {TURNS} turns of {STEPS:,} steps")


def microseconds(environment) -> float:
  """Of a step, resets included."""
  number = environment.action_spec().dtype.type
  actions = [number(0), number(1)]
  environment.reset()
  start = time.perf_counter()
  for i in range(STEPS):
    if environment.step(actions[i % 2]).last():
      environment.reset()
  return (time.perf_counter() - start) / STEPS * 1e6


if __name__ == "__main__":
  main()
