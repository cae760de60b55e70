"""The `acme` command.

Exit codes: 0 done; 1 it failed on the way; 2 what was asked for cannot be; 130 and 143 stopped by Ctrl-C and SIGTERM.
"""

import signal
import sys
import warnings
from collections.abc import Sequence

from acme import checkpointing, plugins
from acme_experiments import commands, parsing
from acme_experiments.rundir import UsageError
from acme_experiments.runner import Stopped


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs one command, and returns the exit code; what goes wrong is one clear line on standard error.

  Args:
    arguments: the command line; None for that of the process.
  """
  arguments = sys.argv[1:] if arguments is None else arguments
  with warnings.catch_warnings():
    warnings.showwarning = lambda message, *_, **__: print(f"acme: {message}", file=sys.stderr)
    try:
      command, config = parsing.parse(arguments or ["--help"])
      commands.execute(command, config)
    except Stopped as stopped:
      return 128 + stopped.signal
    except (UsageError, plugins.PluginError) as error:
      return _complain(error, 2)
    except checkpointing.CheckpointError as error:
      return _complain(error, 1)
    except commands.Failed as error:
      return _complain(error, 1)
    except KeyboardInterrupt:
      return _complain("Stopped at once.", 128 + signal.SIGINT)
  return 0


def _complain(message: object, code: int) -> int:
  print(f"acme: {message}", file=sys.stderr)
  return code


if __name__ == "__main__":
  sys.exit(main())
