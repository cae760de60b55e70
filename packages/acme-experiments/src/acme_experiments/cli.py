"""The `acme` command.

Exit codes: 0 done; 1 it failed on the way; 2 what was asked for cannot be; 130, 143, 129 stopped by Ctrl-C, TERM, HUP;
141 nobody reads its output any more.
"""

import os
import signal
import sys
import warnings
from collections.abc import Sequence

from acme import checkpointing, plugins
from acme_experiments import __version__, commands, parsing
from acme_experiments.rundir import UsageError
from acme_experiments.stopping import Stopped


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs one command, and returns the exit code; what goes wrong is one clear line on standard error.

  Args:
    arguments: the command line; None for that of the process.
  """
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  _make_output_safe()
  with warnings.catch_warnings():
    warnings.showwarning = lambda message, *_, **__: print(f"acme: {message}", file=sys.stderr)
    try:
      if arguments == ["--version"]:
        print(f"acme-experiments {__version__}")
      else:
        commands.execute(*parsing.parse(arguments or ["--help"]))
      sys.stdout.flush()
    except Stopped as stopped:
      return 128 + stopped.signal
    except (UsageError, plugins.PluginError) as error:
      return _complain(error, 2)
    except checkpointing.CheckpointError as error:
      return _complain(error, 1)
    except commands.Failed as error:
      return _complain(error, 1)
    except BrokenPipeError:
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's last flush would complain.
      return 128 + signal.SIGPIPE
    except OSError as error:  # A path that cannot be read or written, wherever it came up.
      return _complain(error, 1)
    except KeyboardInterrupt:
      return _complain("Stopped at once.", 128 + signal.SIGINT)
  return 0


def _make_output_safe() -> None:
  """Lets standard output be closed, or take no more than ASCII: both are no reason to fail."""
  if sys.stdout is None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives.
  if sys.stderr is None:
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
  if hasattr(sys.stdout, "reconfigure"):
    sys.stdout.reconfigure(errors="replace")


def _complain(message: object, code: int) -> int:
  print(f"acme: {message}", file=sys.stderr)
  return code


if __name__ == "__main__":
  sys.exit(main())
