import contextlib
import signal

import pytest

from acme_experiments import progress


class _SignalAt(progress.Progress):
  def __init__(self, step):
    self.step = step

  def update(self, steps, episodes):
    if self.step is not None and steps >= self.step:
      self.step = None
      signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def sigterm_at(monkeypatch):
  """A context in which a run has SIGTERM, once, at that step."""

  @contextlib.contextmanager
  def context(step):
    with monkeypatch.context() as patch:
      patch.setattr(progress, "choose", lambda quiet: _SignalAt(step))
      yield

  return context
