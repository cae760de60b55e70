"""Seeds on a command line."""

import argparse
import re


def seeds(text: str) -> range:
  """The seeds that `text` means: `0-4`, or one alone, `3`. For `type=` of argparse."""
  found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
  numbers = range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)
  if not numbers:
    raise argparse.ArgumentTypeError(f"expected a seed or a range of them, such as 0-4, got {text!r}")
  return numbers
