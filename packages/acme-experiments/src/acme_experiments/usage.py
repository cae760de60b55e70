"""What the command line and an experiment both know; importing it takes no time."""

from typing import Literal

AUTO: Literal["auto"] = "auto"  # The replay, or the device, of those who leave it to the machine.
Device = Literal["auto", "cpu", "gpu", "split"]
"""Where an agent computes: on the CPU, on an accelerator, acting on the one and learning on the other."""
Which = Literal["newest", "best"] | int
"""The parameters of a run: the newest, those of the best evaluation, or those of a step's checkpoint."""


class UsageError(ValueError):
  """Something asked for that cannot be; the message says what to do."""


class Failed(RuntimeError):  # noqa: N818 - what happened, in one word.
  """A command that failed on the way."""
