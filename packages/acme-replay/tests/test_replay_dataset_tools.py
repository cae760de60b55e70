"""What is in a dataset, whether it is whole, and several made one."""

import dataclasses
import json

import numpy as np
import pytest
import tree

from acme import specs
from acme_replay import datasets
from acme_replay.datasets import Episode, Finding, Index, Writer

SPEC = specs.EnvironmentSpec(
  observations=specs.BoundedArray((2,), np.float32, -1, 1, "position"),
  actions=specs.DiscreteArray(3),
  rewards=specs.Array((), np.float32),
  discounts=specs.BoundedArray((), np.float32, 0, 1),
)
INDEX = Index(spec=SPEC, environment="gym:Walk-v0", origin=({"run": "a"},))


def make_episode(seed, end=0.0):
  rng, steps = np.random.default_rng(seed), 2 + seed % 3
  return Episode(
    observation=rng.uniform(-1, 1, (steps + 1, 2)).astype(np.float32),
    action=rng.integers(0, 3, steps).astype(np.int32),
    reward=np.full(steps, seed, np.float32),
    discount=np.append(np.ones(steps - 1), end).astype(np.float32),
  )


def write(path, seeds, index=INDEX, part_bytes=1):
  with Writer(path, index, part_bytes=part_bytes) as writer:
    for seed in seeds:
      writer.write(make_episode(seed, end=seed % 2))
  return path


@pytest.fixture
def data(tmp_path):
  """Four episodes in four parts."""
  return write(tmp_path / "data", range(4))


def test_a_summary(data):
  summary = datasets.summarize(data)
  assert summary.lengths.tolist() == [2, 3, 4, 2] and summary.returns.tolist() == [0, 3, 8, 6]
  assert summary.terminated == 2 and summary.index.environment == "gym:Walk-v0"


def test_a_histogram_of_text():
  lines = datasets.histogram([0, 0, 0, 0, 10], bins=2, width=8)
  assert [line.split() for line in lines] == [["0.00", "to", "5.00", "4", "█" * 8], ["5.00", "to", "10.00", "1", "██"]]
  for value in (3.0, 1e20):
    assert len(datasets.histogram([value, value])) == 1
    assert len(datasets.histogram([value, np.nextafter(value, np.inf)])) == 1  # Sums in another order.


def rewrite(file, **arrays):
  with np.load(file) as before:
    np.savez(file, **({name: before[name] for name in before.files} | arrays))


def resign(data):
  """Gives the index the checksums of the files as they are: what was wrong before they were made is found, too."""
  import hashlib

  index = datasets.read_index(data)
  parts = [
    dataclasses.replace(part, sha256=hashlib.sha256((data / part.file).read_bytes()).hexdigest())
    for part in index.parts
  ]
  datasets.write_index(data, dataclasses.replace(index, parts=tuple(parts)))


def flip(data):
  content = bytearray((data / "000002.npz").read_bytes())
  content[200] ^= 1
  (data / "000002.npz").write_bytes(content)


def put(name, value):
  def damage(data):
    rewrite(data / "000002.npz", **{name: value})
    resign(data)

  return damage


def drop_from_index(data):
  content = json.loads((data / datasets.INDEX).read_text())
  content["parts"][2]["steps"] = 5
  (data / datasets.INDEX).write_text(json.dumps(content))


ERRORS = {
  "a bit": (flip, "SHA-256"),
  "half": (lambda data: (data / "000002.npz").write_bytes((data / "000002.npz").read_bytes()[:99]), "SHA-256"),
  "no file": (lambda data: (data / "000002.npz").unlink(), "No such file"),
  "a NaN": (put("reward", np.full(4, np.nan, np.float32)), "reward: expected finite numbers"),
  "a discount": (put("discount", np.full(4, 1.5, np.float32)), "discount: expected numbers from 0 to 1"),
  "an action": (put("action", np.full(4, 3)), "action: expected numbers from 0 to 2"),
  "a dtype": (put("action", np.zeros(4)), "action: expected dtype int32"),
  "a shape": (put("observation", np.zeros((5, 3))), "observation: expected shape"),
  "a length": (put("length", np.array([3])), "observation: expected 4 rows in 1 episodes of 3 steps, got 5"),
  "no length": (put("length", np.array([4, 0])), "length: expected .* whole numbers of 1 or more"),
  "other lengths": (put("length", np.array([2.0, 2.0])), "length: expected .* whole numbers of 1 or more"),
  "another number of steps": (drop_from_index, "expected 1 episodes of 5 steps"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_fault_is_found_and_its_file_named(data, case):
  assert datasets.check(data) == []
  damage, message = ERRORS[case]
  damage(data)
  (finding,) = datasets.check(data)
  assert (
    finding.severity == "error" and "000002.npz" in finding.message and "Put it back from a copy" in finding.message
  )
  with pytest.raises(ValueError, match=f"000002.npz.*{message}"):
    list(datasets.read(data))


WARNINGS = {
  "another dtype": (put("reward", np.ones(4)), "reward is float64, and is read as float32"),
  "beyond bounds": (
    put("observation", np.full((5, 2), 3, np.float32)),
    "from 3.0 to 3.0, beyond its bounds, -1.0 to 1.0",
  ),
  "an array more": (put("speed", np.ones(4)), "speed is in no spec, and is passed over"),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_what_readers_pass_over_is_a_warning(data, case):
  damage, message = WARNINGS[case]
  damage(data)
  (finding,) = datasets.check(data)
  assert finding.severity == "warning" and message in finding.message and "000002.npz" in finding.message
  assert len(list(datasets.read(data))) == 4


def test_what_a_killed_writer_left_is_a_warning(data):
  (data / ".000004.npz.tmp").write_bytes(b"half")
  (data / "000004.npz").write_bytes((data / "000003.npz").read_bytes())
  assert [finding.severity for finding in datasets.check(data)] == ["warning", "warning"]
  assert len(list(datasets.read(data))) == 4
  write(data, [4])
  assert len(list(datasets.read(data))) == 5


def test_folders_that_are_no_datasets(tmp_path):
  datasets.write(tmp_path / "0.npz", make_episode(0))
  (finding,) = datasets.check(tmp_path)
  assert finding.severity == "error" and "found no dataset.json" in finding.message
  assert datasets.check(tmp_path, INDEX.step_spec) == []
  (finding,) = datasets.check(tmp_path / "nowhere", INDEX.step_spec)
  assert "found none" in finding.message
  with Writer(tmp_path / "new", INDEX):
    pass
  assert datasets.check(tmp_path / "new") == [Finding("warning", f"{tmp_path / 'new'} has no episode yet.")]


def test_several_become_one(tmp_path, data):
  other = write(tmp_path / "other", [5, 4], dataclasses.replace(INDEX, environment=None, origin=({"run": "b"},)))
  index = datasets.merge([other, data], tmp_path / "all")
  assert [entry["run"] for entry in index.origin] == ["b", "a"] and index.environment == "gym:Walk-v0"
  assert datasets.read_index(tmp_path / "all") == index and len(index.parts) == 1 and index.parts[0].episodes == 6
  wanted = [make_episode(seed, seed % 2) for seed in (5, 4, 0, 1, 2, 3)]
  tree.map_structure(np.testing.assert_array_equal, list(datasets.read(tmp_path / "all")), wanted)


def test_what_is_not_merged(tmp_path, data):
  other = write(tmp_path / "other", [7, 2])
  with pytest.raises(ValueError, match=r"episode 1 of .*other is episode 2 of .*data, too"):
    datasets.merge([data, other], tmp_path / "all")
  actions = SPEC._replace(actions=specs.DiscreteArray(4))
  write(tmp_path / "four", [5], dataclasses.replace(INDEX, spec=actions))
  with pytest.raises(ValueError, match=r"data and .*four are of two kinds: its actions are"):
    datasets.merge([data, tmp_path / "four"], tmp_path / "all")
  flip(data)
  with pytest.raises(ValueError, match=r"000002.npz"):
    datasets.merge([data], tmp_path / "all")
  with pytest.raises(FileExistsError):
    datasets.merge([other], tmp_path / "four")
  with pytest.raises(ValueError, match="minari:walk/it-v0: expected the path of a folder"):
    datasets.merge([other], "minari:walk/it-v0")
  assert {path.name for path in tmp_path.iterdir()} == {"data", "other", "four"}
