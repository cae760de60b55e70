"""Loggers keep what they are given, through late columns, crashes, restores and filters."""

import contextlib
import csv
import io
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from acme import counting, loggers


@pytest.fixture
def open_csv():
  """A CSVLogger that is closed when the test is over."""
  with contextlib.ExitStack() as stack:
    yield lambda path: stack.enter_context(contextlib.closing(loggers.CSVLogger(path)))


def read(path):
  with open(path, newline="") as file:
    return list(csv.DictReader(file))


def test_csv_takes_columns_as_they_come(open_csv, tmp_path):
  path = tmp_path / "new" / "train.csv"
  logger = open_csv(path)
  logger.write({"a": 1})
  logger.write({"b": 2.5, "a": np.float32(0.5)})
  logger.write({"c": np.array([1, 2]), "b": "x, y"})
  logger.close()
  assert read(path) == [
    {"a": "1", "b": "", "c": ""},
    {"a": "0.5", "b": "2.5", "c": ""},
    {"a": "", "b": "x, y", "c": "[1, 2]"},
  ]


def test_csv_numbers_read_back_exactly(open_csv, tmp_path):
  values = [0.1, 1e-300, np.float64(1) / 3, np.float32(1) / 3, 2**70, float("nan"), -0.0]
  logger = open_csv(tmp_path / "a.csv")
  for value in values:
    logger.write({"x": value})
  got = [float(row["x"]) for row in read(tmp_path / "a.csv")]
  np.testing.assert_array_equal(got, [float(value) for value in values])


def test_csv_row_is_on_disk_when_write_returns(open_csv, tmp_path):
  logger = open_csv(tmp_path / "a.csv")
  logger.write({"x": 1})
  assert read(tmp_path / "a.csv") == [{"x": "1"}]


@pytest.mark.parametrize("torn", ["3,", "3", '"3', "3,4"])
def test_csv_drops_a_torn_last_line_and_goes_on(open_csv, tmp_path, torn):
  path = tmp_path / "a.csv"
  path.write_text("x,y\r\n1,2\r\n" + torn)
  logger = open_csv(path)
  logger.write({"y": 6, "x": 5})
  assert read(path) == [{"x": "1", "y": "2"}, {"x": "5", "y": "6"}]


@pytest.mark.parametrize("text", ["", "x,", "x,y\r\n"])
def test_csv_goes_on_with_a_file_without_rows(open_csv, tmp_path, text):
  path = tmp_path / "a.csv"
  path.write_text(text)
  open_csv(path).write({"x": 1})
  assert [row["x"] for row in read(path)] == ["1"]


def test_csv_keeps_text_of_any_kind(open_csv, tmp_path):
  path = tmp_path / "a.csv"
  logger = open_csv(path)
  logger.write({"x": 'quotes " and, commas\nand lines'})
  logger.write({"y": 1})  # Rewrites.
  logger.close()
  assert read(path)[0]["x"] == 'quotes " and, commas\nand lines'


@pytest.mark.parametrize("text", ["form\x0cfeed", "line\u2028separator", "unit\x1eseparator"])
def test_csv_keeps_characters_that_splitlines_takes_for_line_ends(open_csv, tmp_path, text):
  path = tmp_path / "a.csv"
  logger = open_csv(path)
  logger.write({"x": text, "y": 1})
  logger.write({"z": 1})  # Rewrites.
  logger.close()
  assert read(path)[0] == {"x": text, "y": "1", "z": ""}


def test_csv_restore_forgets_later_rows(open_csv, tmp_path):
  path = tmp_path / "a.csv"
  logger = open_csv(path)
  logger.write({"x": 1})
  state = logger.save()
  logger.write({"x": 2, "y": 3})
  logger.close()
  again = open_csv(path)
  again.restore(state)
  again.write({"x": 4})
  assert [row["x"] for row in read(path)] == ["1", "4"]


def test_csv_restore_keeps_the_rows_it_cuts(open_csv, tmp_path):
  path = tmp_path / "a.csv"
  for rows in ([1, 2, 3], [4, 5]):
    logger = open_csv(path)
    for x in rows:
      logger.write({"x": x})
    logger.restore({"rows": 1})
  assert read(path) == [{"x": "1"}]
  assert [row["x"] for row in read(tmp_path / "a.csv.cut")] == ["2", "3", "x", "4", "5"]


@pytest.mark.parametrize("text", [None, "", "x\r\n", "x\r\n1\r\n", "x\r\n1\r\n2"])
def test_csv_restore_refuses_a_file_that_lacks_rows(open_csv, tmp_path, text):
  path = tmp_path / "a.csv"
  if text is not None:
    path.write_text(text, newline="")
  with pytest.raises(ValueError, match=r"a.csv: expected 2 rows or more.*got [01]"):
    open_csv(path).restore({"rows": 2})


@pytest.mark.parametrize(
  ("data", "complaint"), [(b"x\n1,2\n", "row 1 has more fields"), (b"x\n\xff\n", "codec can't decode")]
)
def test_csv_says_that_a_file_cannot_be_read(tmp_path, data, complaint):
  path = tmp_path / "a.csv"
  path.write_bytes(data)
  with pytest.raises(ValueError, match=f"a.csv cannot be read.*{complaint}"):
    loggers.CSVLogger(path)
  assert path.read_bytes() == data


def test_csv_reads_what_it_wrote_however_long(open_csv, tmp_path):
  path = tmp_path / "a.csv"
  open_csv(path).write({"x": np.zeros(50_000)})
  logger = open_csv(path)
  logger.write({"y": 1})
  assert logger.save() == {"rows": 2}


def test_csv_is_not_written_through_a_link(open_csv, tmp_path):
  (tmp_path / "precious").write_text("text")
  (tmp_path / "a.csv").write_text("x\n1\n")
  (tmp_path / "a.csv.tmp").symlink_to(tmp_path / "precious")
  open_csv(tmp_path / "a.csv").write({"y": 1})
  assert (tmp_path / "precious").read_text() == "text"


def test_csv_on_a_full_disk_keeps_earlier_rows(open_csv, tmp_path):
  code = """
    import resource, signal, sys
    from acme import loggers
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    logger = loggers.CSVLogger(sys.argv[1])
    rows = 0
    try:
      while True:
        logger.write({"x": rows, "text": "long " * 9})
        rows += 1
    except OSError:
      print(rows)
  """
  path = tmp_path / "a.csv"
  result = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(code), path], capture_output=True, text=True, check=False
  )
  rows = int(result.stdout)
  open_csv(path).write({"x": "after"})
  assert [row["x"] for row in read(path)] == [*map(str, range(rows)), "after"]


def test_terminal_lines_are_readable():
  stream = io.StringIO()
  loggers.TerminalLogger("train", stream).write({"steps": 1234567, "loss": 0.123456, "return": 12345.6, "ok": True})
  loggers.TerminalLogger(stream=stream).write({"name": "x", "n": np.int64(5000), "v": np.array([1, 2])})
  assert stream.getvalue() == (
    "[train] steps = 1,234,567 | loss = 0.1235 | return = 12,346 | ok = True\nname = x | n = 5,000 | v = [1 2]\n"
  )


def test_in_memory_keeps_copies_and_forgets_after_restore():
  logger = loggers.InMemoryLogger()
  row = {"x": 1}
  logger.write(row)
  row["x"] = 2
  state = logger.save()
  logger.write(row)
  logger.restore(state)
  assert logger.rows == [{"x": 1}]


def test_dispatcher():
  one, other = loggers.InMemoryLogger(), loggers.InMemoryLogger()
  both = loggers.Dispatcher([one, other])
  both.write({"x": 1})
  state = both.save()
  both.write({"x": 2})
  both.restore(state)
  both.close()
  assert one.rows == other.rows == [{"x": 1}]


def test_dispatcher_restores_only_as_many_as_it_saved():
  with pytest.raises(ValueError):
    loggers.Dispatcher([loggers.NullLogger()]).restore([{}, {}])


class Closed(loggers.InMemoryLogger):
  closed = False

  def close(self):
    self.closed = True


def test_wrappers_close_what_is_inside():
  inside = Closed()
  loggers.Dispatcher([loggers.TimeFilter(inside, 1)]).close()
  assert inside.closed


@pytest.fixture
def clock(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(loggers.time, "monotonic", lambda: now[0])
  return now


def test_time_filter_passes_one_row_in_a_while_and_the_last(clock):
  memory = loggers.InMemoryLogger()
  logger = loggers.TimeFilter(memory, seconds=10)
  for t in range(25):
    clock[0] = 100 + t
    logger.write({"t": t})
  assert [row["t"] for row in memory.rows] == [0, 10, 20]
  logger.close()
  logger.close()
  assert [row["t"] for row in memory.rows] == [0, 10, 20, 24]


def test_time_filter_never_drops_an_evaluation(clock):
  memory = loggers.InMemoryLogger()
  logger = loggers.TimeFilter(memory, seconds=1e9)
  for t in range(5):
    logger.write({"episode_return": t})
    logger.write({"eval_return": t})
    logger.write({"evaluation_episodes": t, "episode_return": 0})
  assert [row.get("eval_return", row.get("evaluation_episodes")) for row in memory.rows[1:]] == [
    t for t in range(5) for _ in range(2)
  ]


def test_time_filter_after_restore_writes_nothing_of_later(clock):
  memory = loggers.InMemoryLogger()
  logger = loggers.TimeFilter(memory, seconds=10)
  logger.write({"t": 0})
  state = logger.save()
  logger.write({"t": 1})  # Held back.
  logger.restore(state)
  logger.close()
  assert memory.rows == [{"t": 0}]


def test_time_filter_knows_an_evaluation_behind_a_prefix(clock):
  memory = loggers.InMemoryLogger()
  logger = loggers.TimeFilter(memory, seconds=1e9)
  for t in range(3):
    logger.write({"cartpole/eval_return": t})
  assert len(memory.rows) == 3


def test_counts_of_a_tree_are_seen_by_all():
  root = counting.Counter()
  actor, learner = counting.Counter(root, "actor"), counting.Counter(root, "learner")
  assert actor.increment(steps=2, episodes=1) == {"actor_steps": 2, "actor_episodes": 1}
  nested = counting.Counter(actor, "a")
  nested.increment(steps=5)
  learner.increment(steps=3)
  assert root.get_counts() == {"actor_steps": 2, "actor_episodes": 1, "actor_a_steps": 5, "learner_steps": 3}
  assert (actor.get("steps"), learner.get("steps"), root.get("steps"), learner.get("walltime")) == (2, 3, 0, 0)
  state = learner.save()
  root.increment(steps=1)
  root.restore(state)
  assert nested.get("steps") == 5 and root.get("steps") == 0


def test_saved_counts_do_not_change():
  counter = counting.Counter()
  counter.increment(steps=1)
  state = counter.save()
  counter.increment(steps=1)
  assert state == {"steps": 1}
  counter.restore(state)
  counter.increment(steps=1)
  assert state == {"steps": 1}
