"""Recorded episodes on disk: a folder that says in its index what is in it.

spec = datasets.environment_spec(path)  # of the environment it was recorded in, which need not be installed
for episode in datasets.read(path): ...
"""

from acme_replay.datasets.episodes import Episode, checksum, num_rows, play, read, write
from acme_replay.datasets.index import INDEX, Index, Part, environment_spec, read_index, write_index

__all__ = [
  "INDEX", "Episode", "Index", "Part", "checksum", "environment_spec", "num_rows", "play", "read", "read_index",
  "write", "write_index",
]  # fmt: skip
