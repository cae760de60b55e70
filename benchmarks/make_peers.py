"""Makes the peers' virtual environments: python benchmarks/make_peers.py DIR [NAME…].

One each, since they do not go together. With pip, not uv: where pip is configured with a folder of wheels, a build of
PyTorch for CPU may lie there, and uv does not look.
"""

import argparse
import pathlib
import subprocess
import sys

PEERS = pathlib.Path(__file__).resolve().parent / "peers"


def make(name: str, directory: pathlib.Path) -> None:
  """Makes `directory`/`name`, unless it was made from the same requirements before."""
  requirements = (PEERS / f"{name}.txt").read_text()
  done = directory / name / "made-from.txt"
  if done.is_file() and done.read_text() == requirements:
    return
  print(f"Making {directory / name}", flush=True)
  subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory / name)], check=True)
  pip = [str(directory / name / "bin" / "python"), "-m", "pip"]
  root = PEERS.parent.parent  # What the requirements name by path lies there.
  subprocess.run([*pip, "install", "--quiet", "-r", str(PEERS / f"{name}.txt")], cwd=root, check=True)
  done.write_text(requirements)


def main() -> None:
  """Reads the command line."""
  names = sorted(path.stem for path in PEERS.glob("*.txt"))
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("directory", type=pathlib.Path)
  parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all unless given")
  arguments = parser.parse_args()
  if unknown := set(arguments.names) - set(names):
    parser.error(f"No peer is called {', '.join(sorted(unknown))}; there are {', '.join(names)}.")
  for name in arguments.names or names:
    make(name, arguments.directory)


if __name__ == "__main__":
  main()
