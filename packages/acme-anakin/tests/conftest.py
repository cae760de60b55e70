import contextlib
import importlib
import signal

import pytest


@pytest.fixture
def sigterm_at(monkeypatch):
  """A context in which a run has SIGTERM, once, at that step."""
  progress = importlib.import_module("acme_experiments.progress")  # Not installed in `nox -s lowest`.

  class SignalAt(progress.Progress):
    def __init__(self, step):
      self.step = step

    def update(self, steps, episodes):
      if self.step is not None and steps >= self.step:
        self.step = None
        signal.raise_signal(signal.SIGTERM)

  @contextlib.contextmanager
  def context(step):
    with monkeypatch.context() as patch:
      patch.setattr(progress, "choose", lambda quiet: SignalAt(step))
      yield

  return context
