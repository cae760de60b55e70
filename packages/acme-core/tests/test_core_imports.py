"""`import acme` is cheap, and brings nothing but what it declares."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

import acme

DECLARED = {"dm_env", "tree", "numpy"}
THEIRS = {"attr", "attrs", "wrapt", "absl", "mkl"}  # What dm-tree and numpy bring.


@pytest.fixture(scope="module")
def imported():
  """What a fresh process imports for acme, and the processor's seconds beyond those of numpy, dm_env and tree."""
  code = """
    import json, sys, time
    import numpy, dm_env, tree
    t0 = time.process_time()
    import acme
    seconds = time.process_time() - t0
    print(json.dumps({"seconds": seconds, "names": [
      [name, getattr(module, "__file__", None) or ""] for name, module in sys.modules.items()]}))
  """
  code = "\n".join(line.strip() if "[name" not in line else line for line in code.strip().splitlines())
  result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
  return json.loads(result.stdout)


def test_imports_nothing_heavy(imported):
  names = {name.split(".")[0] for name, _ in imported["names"]}
  assert not names & {"jax", "tensorflow", "gymnasium", "gym", "haiku", "torch", "pandas", "matplotlib", "pytest"}


def test_imports_only_what_it_declares(imported):
  third_party = {name.split(".")[0] for name, file in imported["names"] if "site-packages" in file}
  own = pathlib.Path(acme.__file__).parent
  third_party -= {name.split(".")[0] for name, file in imported["names"] if file and own in pathlib.Path(file).parents}
  assert {name for name in third_party if not name.startswith(("_", "sitecustom"))} <= DECLARED | THEIRS


def test_imports_in_a_moment(imported):
  assert imported["seconds"] < 0.3


def test_public_names_are_there_and_version_is_one():
  for name in acme.__all__:
    assert hasattr(acme, name), name
  assert re.fullmatch(r"\d+\.\d+\.\d+", acme.__version__)
