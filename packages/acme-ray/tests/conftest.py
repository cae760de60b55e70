"""Ray in this process, and one true Ray for all tests that want processes."""

import contextlib
import importlib
import pathlib
import sys

import pytest

import acme_ray
from acme_ray import actors, conductor, nodes, supervision

sys.path.append(str(pathlib.Path(__file__).parent))  # With importlib as import mode, pytest leaves it out.


@pytest.fixture
def fake_ray(monkeypatch):
  """Ray in this process, where a run takes seconds less, and the same order of events each time."""
  ray = importlib.import_module("fake_ray").FakeRay()
  for module in (actors, conductor, supervision):
    monkeypatch.setattr(module, "ray", ray)
  monkeypatch.setattr(nodes.Node, "where", lambda _: nodes.Place("elsewhere", 0))  # Not here: what hangs is killed.
  running = sys.modules["acme_ray.run"]  # The function of this name hides it.
  monkeypatch.setattr(running, "cluster", lambda *_, **__: contextlib.nullcontext())
  monkeypatch.setattr(running, "_check_room", lambda *_: None)
  return ray


@pytest.fixture(scope="session")
def cluster():
  """True Ray, on this machine."""
  with acme_ray.cluster(num_cpus=16):
    yield
