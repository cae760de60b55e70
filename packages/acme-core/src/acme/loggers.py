"""Where results go: the terminal, a CSV file, memory, or several of them.

A row is a mapping from names to numbers, strings or small arrays.
"""

import abc
import csv
import io
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from acme import core, types

Row = Mapping[str, Any]


class Logger(core.Saveable):
  """Takes rows."""

  @abc.abstractmethod
  def write(self, row: Row) -> None:
    """Takes one row."""

  def close(self) -> None:
    """Writes what is held back, and frees files."""

  def save(self) -> types.State:
    return {}

  def restore(self, state: types.State) -> None:
    """Forgets the rows written after `save`, where rows are kept."""


class NullLogger(Logger):
  """Keeps nothing."""

  def write(self, row: Row) -> None:
    pass


class TerminalLogger(Logger):
  """Prints one readable line a row: `[train] episode_return = 200 | steps = 4,000`."""

  def __init__(self, label: str = "", stream: TextIO | None = None) -> None:
    """Makes a logger; `label` begins each line, `stream` is standard output where it is None."""
    self._label = f"[{label}] " if label else ""
    self._stream = stream

  def write(self, row: Row) -> None:
    text = " | ".join(f"{name} = {_readable(value)}" for name, value in row.items())
    print(self._label + text, file=self._stream if self._stream is not None else sys.stdout, flush=True)


class InMemoryLogger(Logger):
  """Keeps rows in the list `rows`."""

  def __init__(self) -> None:
    self.rows: list[dict[str, Any]] = []

  def write(self, row: Row) -> None:
    self.rows.append(dict(row))

  def save(self) -> types.State:
    return {"rows": len(self.rows)}

  def restore(self, state: types.State) -> None:
    del self.rows[state["rows"] :]


class CSVLogger(Logger):
  """Appends rows to a CSV file, each on disk when `write` returns to the operating system.

  A column that appears later is added at the right (the file is rewritten under a temporary name, then renamed), and is
  empty in earlier rows. An existing file is appended to.
  """

  def __init__(self, path: str | os.PathLike[str]) -> None:
    """Opens or makes the file, and its folder."""
    self._path = pathlib.Path(path)
    self._path.parent.mkdir(parents=True, exist_ok=True)
    self._columns: list[str] = []
    self._num_rows = 0
    if self._path.exists():
      self._columns, rows = self._read()
      self._num_rows = len(rows)
      self._rewrite(rows)  # Drops a line that a crash left half-written.
    self._file = self._open()

  def write(self, row: Row) -> None:
    missing = [name for name in row if name not in self._columns]
    if missing:
      self._file.close()
      self._columns += missing
      self._rewrite(self._read()[1] if self._num_rows else [])
      self._file = self._open()
    csv.DictWriter(self._file, self._columns).writerow({name: _plain(value) for name, value in row.items()})
    self._file.flush()
    self._num_rows += 1

  def close(self) -> None:
    self._file.close()

  def save(self) -> types.State:
    return {"rows": self._num_rows}

  def restore(self, state: types.State) -> None:
    """Cuts the rows written after `save`; they go to a file beside this one, `train.csv.cut`, after those cut before.

    Raises:
      ValueError: the file has fewer rows than when the state was saved; nothing was changed.
    """
    if self._num_rows < state["rows"]:
      raise ValueError(
        f"{self._path}: expected {state['rows']} rows or more, as when the state was saved, got {self._num_rows}. "
        "Put the file back from a copy; nothing was changed."
      )
    rows = self._read()[1] if self._num_rows else []
    kept, cut = rows[: state["rows"]], rows[state["rows"] :]
    if not cut:
      return
    self._file.close()
    with self._open(".cut") as file:
      self._write_rows(file, cut)
    self._num_rows = len(kept)
    self._rewrite(kept)
    self._file = self._open()

  def _open(self, ending: str = "") -> TextIO:  # Not through a link: what it leads to would be written to.
    no_link = lambda path, flags: os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)  # noqa: E731
    return open(f"{self._path}{ending}", "a", newline="", encoding="utf-8", opener=no_link)

  def _read(self) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and the whole rows of the file: a last line without its newline is not whole."""
    try:
      text = self._path.read_bytes().decode()
      text = text[: text.rfind("\n") + 1]
      limit = csv.field_size_limit(len(text) + 1)  # What was written must be readable, however long a field is.
      try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = list(reader)
      finally:
        csv.field_size_limit(limit)
    except (csv.Error, UnicodeDecodeError) as error:
      raise ValueError(f"{self._path} cannot be read: {error}. Put it back from a copy, or move it away.") from error
    for number, row in enumerate(rows, 1):
      if None in row:
        raise ValueError(
          f"{self._path} cannot be read: row {number} has more fields than the file has columns. Put it back from a "
          "copy, or mend the row."
        )
    return list(reader.fieldnames or []), rows

  def _rewrite(self, rows: Sequence[Row]) -> None:
    temporary = self._path.with_name(self._path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    with temporary.open("x", newline="", encoding="utf-8") as file:  # A new one: a link is not followed.
      self._write_rows(file, rows)
    temporary.replace(self._path)

  def _write_rows(self, file: TextIO, rows: Sequence[Row]) -> None:
    """Writes the columns and rows, and flushes them to disk."""
    if self._columns:
      writer = csv.DictWriter(file, self._columns)
      writer.writeheader()
      writer.writerows(rows)
    file.flush()
    os.fsync(file.fileno())


class Dispatcher(Logger):
  """Writes every row to several loggers."""

  def __init__(self, loggers: Sequence[Logger]) -> None:
    self._loggers = tuple(loggers)

  def write(self, row: Row) -> None:
    for logger in self._loggers:
      logger.write(row)

  def close(self) -> None:
    for logger in self._loggers:
      logger.close()

  def save(self) -> types.State:
    return [logger.save() for logger in self._loggers]

  def restore(self, state: types.State) -> None:
    for logger, logger_state in zip(self._loggers, state, strict=True):
      logger.restore(logger_state)


def is_evaluation(row: Row) -> bool:
  """Whether a row reports an evaluation: one of its names begins with `eval`, perhaps after `prefix/`."""
  return any(part.startswith("eval") for name in row for part in name.split("/"))


class TimeFilter(Logger):
  """Passes on at most one row in `seconds`, every evaluation row, and on closing the last one held back."""

  def __init__(self, to: Logger, seconds: float) -> None:
    self._to = to
    self._seconds = seconds
    self._last = -float("inf")
    self._held: Row | None = None

  def write(self, row: Row) -> None:
    if is_evaluation(row):
      self._to.write(row)
      return
    now = time.monotonic()
    if now - self._last < self._seconds:
      self._held = row
      return
    self._last = now
    self._held = None
    self._to.write(row)

  def save(self) -> types.State:
    held = None if self._held is None else {name: _plain(value) for name, value in self._held.items()}
    return {"to": self._to.save(), "held": held}

  def restore(self, state: types.State) -> None:
    self._to.restore(state["to"])
    self._held = state["held"]

  def close(self) -> None:
    if self._held is not None:
      self._to.write(self._held)
      self._held = None
    self._to.close()


def _readable(value: Any) -> str:
  if isinstance(value, bool | str):
    return str(value)
  if isinstance(value, int | np.integer):
    return f"{value:,}"
  array = np.asarray(value)
  if array.ndim == 0 and array.dtype.kind == "f":
    return f"{float(array):,.4g}" if abs(array) < 1000 else f"{float(array):,.0f}"
  return str(value)


def _plain(value: Any) -> Any:
  """Numbers as Python prints them, so that they read back exactly; arrays as lists."""
  return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
