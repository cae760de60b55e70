"""What the command line and an experiment both know; importing it takes no time."""

AUTO = "auto"  # The replay of those who leave it to the machine.


class UsageError(ValueError):
  """Something asked for that cannot be; the message says what to do."""


class Failed(RuntimeError):  # noqa: N818 - what happened, in one word.
  """A command that failed on the way."""
