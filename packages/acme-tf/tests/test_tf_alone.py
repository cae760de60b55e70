"""No backend needs the other's framework, of any agent that is installed."""

import importlib.util
import subprocess
import sys

import pytest

from acme import plugins


@pytest.mark.parametrize(("backend", "other"), [("jax", "tensorflow"), ("tf", "jax")])
def test_backends_import_without_the_other_framework(backend, other):
  names = [f"{entry.value.partition(':')[0]}.{backend}" for entry in plugins.list_agents().values()]
  code = f"import importlib, sys\nsys.modules[{other!r}] = None\n"
  code += "\n".join(f"importlib.import_module({name!r})" for name in names if importlib.util.find_spec(name))
  subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
