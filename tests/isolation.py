"""Run where one package and what it declares is installed: all of it imports, and it brings no more than it may.

python tests/isolation.py acme-dqn
"""

import importlib
import pkgutil
import subprocess
import sys
from importlib import metadata

# Most distributions that an install may bring, itself included; and those that it must not bring.
MOST = {"acme-core": 8, "acme-replay": 10, "acme-jax": 30, "acme-dqn": 30}
NEVER = ("tensorflow", "nvidia-", "jax-cuda", "torch", "triton")
MAY_BRING = {"acme-tf": "tensorflow", "acme-reverb": "tensorflow"}
# The folder of what an extra is for, where that is not called as the extra is.
OF_EXTRA = {("acme-testing", "jax"): "tiny"}
# What importing the top of a package must not import: the heavy libraries come when they are used.
HEAVY = ("jax", "tensorflow", "haiku", "gymnasium", "matplotlib", "ray", "mujoco")
HEAVY_BY_NATURE = {
  "acme-jax": ("jax", "haiku"),
  "acme-tf": ("tensorflow",),
  "acme-reverb": ("tensorflow",),
  "acme-ray": ("ray",),
}


def main(package: str) -> None:
  module = {"acme-core": "acme"}.get(package, package.replace("-", "_"))
  allowed = HEAVY_BY_NATURE.get(package, ())
  code = f"import {module}, sys; print([m for m in {HEAVY} if m in sys.modules and m not in {allowed}])"
  heavy = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
  assert heavy == "[]", f"import {module} also imports {heavy}"

  # What needs an extra says so when it is used, not when it is imported.
  top = importlib.import_module(module)
  names = [
    info.name for info in pkgutil.walk_packages(top.__path__, module + ".") if not info.name.endswith("__main__")
  ]
  names = [name for name in names if not name.rpartition(".")[2].startswith("test_")]
  # What is an extra, such as acme_dqn.tf for acme-dqn[tf], needs what the extra brings.
  for extra in metadata.metadata(package).get_all("Provides-Extra") or []:
    names = [name for name in names if OF_EXTRA.get((package, extra), extra) not in name.split(".")]
  for name in names:
    importlib.import_module(name)

  installed = sorted({d.metadata["Name"].lower() for d in metadata.distributions()} - {"pip", "setuptools", "wheel"})
  unwanted = [name for name in installed if name.startswith(NEVER) and not name.startswith(MAY_BRING.get(package, "-"))]
  assert not unwanted, f"{package} brings {unwanted}"
  most = MOST.get(package)
  assert most is None or len(installed) <= most, (
    f"{package} brings {len(installed)} packages, {most} at most: {installed}"
  )
  print(f"{package}: {len(names)} modules import, {len(installed)} packages installed: {', '.join(installed)}")


if __name__ == "__main__":
  main(sys.argv[1])
