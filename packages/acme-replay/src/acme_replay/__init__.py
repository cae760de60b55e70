"""Adders, and the replay store that lives in the process: NumPy only, deterministic by seed.

store = EmbeddedReplay(tables, step_spec, seed=0)
adder = NStepTransitionAdder(store.writer(), n_step=5, discount=0.99)
"""

from acme_replay.adders import EpisodeAdder, NStepTransitionAdder, SequenceAdder
from acme_replay.embedded import EmbeddedReplay, size_in_bytes

__version__ = "0.1.0"

__all__ = ["EmbeddedReplay", "EpisodeAdder", "NStepTransitionAdder", "SequenceAdder", "size_in_bytes"]
