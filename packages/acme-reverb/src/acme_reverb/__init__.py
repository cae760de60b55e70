"""An agent's experience on a real Reverb server, in this process or at an address.

    ReverbReplay(experience, step_spec, seed=0, listen_everywhere=True)    # a server in this process
    ReverbReplay(experience, step_spec, seed=0, address="localhost:8000")  # one that `serve` started elsewhere

TensorFlow and Reverb take seconds to load, and are loaded when one of these names is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from acme_reverb.replays import ReverbReplay
  from acme_reverb.server import ReplayServer, serve
  from acme_reverb.store import ReverbStore

__version__ = "0.2.0"

__all__ = ["ReplayServer", "ReverbReplay", "ReverbStore", "serve"]

_HOME = {"ReplayServer": "server", "ReverbReplay": "replays", "ReverbStore": "store", "serve": "server"}


def __getattr__(name: str) -> Any:
  if name not in _HOME:
    raise AttributeError(f"module 'acme_reverb' has no attribute {name!r}")
  return getattr(importlib.import_module(f"acme_reverb.{_HOME[name]}"), name)
