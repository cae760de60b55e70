"""Recorded episodes on disk: a folder that says in its index what is in it.

A dataset is a folder of parts, `000000.npz`, `000001.npz`, …, and `dataset.json`, which lists them in order, with a
checksum for each, the environment's specs and where the episodes came from. A part holds E episodes end to end:

  length       [E] T_e, the steps of each
  observation  [Σ(T_e + 1), …] o_0 … o_T    action    [ΣT_e, …] a_0 … a_{T-1}
  reward       [ΣT_e, …] r_1 … r_T          discount  [ΣT_e, …] d_1 … d_T, 0 at the end of one that terminated

A nest has an array for each leaf, named `observation/position`, `action/0`, by the keys that lead to it; extras, of
each action, are `extras/…` [ΣT_e, …], and the recurrent state before it `core/…`. A file without `length` is one
episode; a folder without an index, or whose index has no list, is all its files `*.npz`, in the order of their names.
Nothing in such a file can execute code: arrays are NumPy's, without objects.

  with Writer(path, Index(spec=spec, environment="gym:CartPole-v1")) as writer:
    writer.write(episode)
  for episode in read(path): ...

A path may also be that of a Minari dataset, or `minari:NAME`.
"""

from acme_replay.datasets.checking import Finding, Summary, check, histogram, summarize
from acme_replay.datasets.converting import convert, merge
from acme_replay.datasets.episodes import Episode, num_steps, play, total_return
from acme_replay.datasets.index import INDEX, Index, Part, write_index
from acme_replay.datasets.reading import checksum, environment_spec, has_core, locate, num_rows, read, read_index
from acme_replay.datasets.rlds import from_rlds
from acme_replay.datasets.writing import Writer, disagreement, write

__all__ = [
  "INDEX", "Episode", "Finding", "Index", "Part", "Summary", "Writer", "check", "checksum", "convert",
  "disagreement", "environment_spec", "from_rlds", "has_core", "histogram", "locate", "merge", "num_rows", "num_steps",
  "play", "read", "read_index", "summarize", "total_return", "write", "write_index",
]  # fmt: skip
