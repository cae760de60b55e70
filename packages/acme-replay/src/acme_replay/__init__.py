"""Adders, and the replay that lives in the process: NumPy only, deterministic by seed.

replay = EmbeddedReplay(acme.experience.Transitions(n_step=5, discount=0.99), step_spec, seed=0)
adder, dataset = replay.adder(), replay.dataset()
"""

from acme_replay.adders import EpisodeAdder, NStepTransitionAdder, SequenceAdder, make_adder
from acme_replay.embedded import EmbeddedStore, size_in_bytes
from acme_replay.replays import EmbeddedReplay, MakeStore, MappedReplay, StoreReplay, embedded, of_actors
from acme_replay.streams import StreamReplay

__version__ = "0.2.0"

__all__ = [
  "EmbeddedReplay", "EmbeddedStore", "EpisodeAdder", "MakeStore", "MappedReplay", "NStepTransitionAdder",
  "SequenceAdder", "StoreReplay", "StreamReplay", "embedded", "make_adder", "of_actors", "size_in_bytes",
]  # fmt: skip
