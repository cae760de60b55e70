"""The `acme` command.

Exit codes: 0 done; 1 it failed on the way; 2 what was asked for cannot be; 130, 143, 129 stopped by Ctrl-C, TERM, HUP;
141 nobody reads its output any more.

`acme --help` and `acme list` are answered in less time than NumPy and the rest take to import, so that this module
imports what it needs where it does.
"""

import os
import signal
import sys
import warnings
from collections.abc import Sequence

from acme_experiments import __version__

_HUSHED = (  # Warnings that nobody can do anything about.
  r".*os\.fork\(\)",  # JAX has threads, and a film is written by a process of its own, which uses none of them.
  r".*DISPLAY environment variable is missing",  # GLFW, which nobody asked to draw.
)


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs one command, and returns the exit code; what goes wrong is one clear line on standard error.

  Args:
    arguments: the command line; None for that of the process.
  """
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  _make_output_safe()
  _hush_libraries()
  with warnings.catch_warnings():
    for message in _HUSHED:
      warnings.filterwarnings("ignore", message=message)
    warnings.showwarning = lambda message, *_, **__: print(f"acme: {message}", file=sys.stderr)
    try:
      _execute(arguments)
      sys.stdout.flush()
    except BrokenPipeError:
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's last flush would complain.
      return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
      return _complain("Stopped at once.", 128 + signal.SIGINT)
    except Exception as error:
      return _explain(error)
  return 0


def _execute(arguments: list[str]) -> None:
  if arguments == ["--version"]:
    print(f"acme-experiments {__version__}")
  elif arguments == ["list"]:
    from acme_experiments import listing

    listing.print_installed()
  else:
    from acme_experiments import parsing

    command, config = parsing.parse(arguments or ["--help"])  # Help ends here.
    from acme_experiments import commands

    commands.execute(command, config)


def _explain(error: Exception) -> int:
  """Says in a line what went wrong, and returns the exit code; raises what nobody has foreseen."""
  from acme import checkpointing, plugins
  from acme_experiments import stopping, usage

  if isinstance(error, stopping.Stopped):
    return 128 + error.signal
  if isinstance(error, usage.UsageError | plugins.PluginError):
    return _complain(error, 2)
  # Of OSError: a path that cannot be read or written, wherever it came up.
  if isinstance(error, checkpointing.CheckpointError | usage.Failed | OSError):
    return _complain(error, 1)
  raise error


def _make_output_safe() -> None:
  """Lets standard output be closed, or take no more than ASCII: both are no reason to fail."""
  if sys.stdout is None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives.
  if sys.stderr is None:
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
  if hasattr(sys.stdout, "reconfigure"):
    sys.stdout.reconfigure(errors="replace")


def _hush_libraries() -> None:
  """Has libraries say nothing of screens, sound and GPUs that are not there, unless the user asks them to."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's errors come as exceptions, too.
  if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    for name in ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):  # Of pygame, which complains of XDG_RUNTIME_DIR.
      os.environ.setdefault(name, "dummy")


def _complain(message: object, code: int) -> int:
  print(f"acme: {message}", file=sys.stderr)
  return code


if __name__ == "__main__":
  sys.exit(main())
