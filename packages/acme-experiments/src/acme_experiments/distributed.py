"""A run whose parts are processes on Ray, which acme-ray conducts, in a run directory as any other.

- status.json: how the nodes are, written anew every second while it runs; `acme status` shows it
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from acme import configs, plugins
from acme_experiments import components, evaluation, progress, records, rundir, runner, stopping
from acme_experiments.experiment import AUTO, Experiment, UsageError
from acme_experiments.rundir import RunDirectory
from acme_experiments.stopping import Stopped

_STATUS = "status.json"
_STATUS_SECONDS = 1.0
_CHECKPOINT_SECONDS = 60.0


def run(directory: RunDirectory, display: progress.Progress | None = None) -> dict[str, Any]:
  """Runs to the end, from the newest checkpoint if there is one; raises as `runner.run`.

  Raises:
    NodeFailed: a node fails again and again; its traceback is in the message.
  """
  return runner.attempt([directory], lambda stop: _Run(directory, display or progress.Progress(), stop))


class _Run:
  """A run while it goes on, and who watches it."""

  def __init__(self, directory: RunDirectory, display: progress.Progress, stop: stopping.StopRequest) -> None:
    """Opens the files, as they were at the newest checkpoint."""
    self._directory, self._display, self._stop = directory, display, stop
    self._experiment = directory.read_experiment()
    self._ray = _load()
    self._plugin = plugins.load_agent(self._experiment.agent)
    self._final: dict[str, Any] = {}
    self._status: Mapping[str, Any] = {}
    self._rates = _Rates()
    self._records = records.Records(directory.path, self._experiment)
    self._records.steps = lambda: int(self._status.get("steps", 0))
    if directory.newest_checkpoint() is None:
      self._records.restore({})
    self._shown = -_STATUS_SECONDS

  def run(self) -> dict[str, Any]:
    """Trains to the end, evaluates, and returns the summary."""
    asked = self._experiment
    self._display.start(asked, self._directory.read_progress()[0])
    try:
      outcome = self._ray.run(
        asked.agent,
        components.environment_maker(asked),
        steps=asked.steps,
        config=configs.from_dict(type(self._plugin.config()), asked.config),
        backend=asked.backend,
        seed=asked.seed,
        num_actors=asked.actors,
        num_envs=asked.envs,
        num_shards=asked.shards,
        replay=plugins.EMBEDDED if asked.replay == AUTO else asked.replay,
        replay_options={"listen_everywhere": True} if asked.listen_everywhere else {},
        learner_gpus=asked.learner_gpus,
        address=asked.ray_address,
        checkpoints=self._directory.checkpoints,
        metadata=components.metadata(asked),
        watcher=self,
        stop=lambda: bool(self._stop),
        eval_every=asked.eval_every,
        eval_episodes=asked.eval_episodes,
        final_episodes=max(runner.FINAL_EPISODES, asked.eval_episodes),
        checkpoint_every=asked.checkpoint_every,
        checkpoint_seconds=_CHECKPOINT_SECONDS,
      )
    except self._ray.Stopped as stopped:
      assert self._stop.signal is not None
      raise Stopped(self._stop.signal, int(self._status["steps"])) from stopped
    except (TypeError, ValueError, KeyError, ImportError, MemoryError) as error:
      raise UsageError(str(error)) from error
    except self._ray.NodeFailed as failed:
      if isinstance(failed.cause, TypeError | ValueError | KeyError | ImportError | MemoryError | plugins.PluginError):
        raise UsageError(f"{failed.cause}") from failed
      raise
    seconds = self._status["seconds"]
    counts = {"steps": outcome.steps, "episodes": outcome.episodes, "restarts": outcome.restarts}
    summary = self._final | counts | {"wall_seconds": seconds, "steps_per_second": outcome.steps / seconds}
    self._directory.write_summary(summary)
    self._records.finish(summary)
    return summary

  def close(self) -> None:
    """Closes the files and the display."""
    self._display.close()
    self._records.close()

  # What acme-ray tells.

  def episode(self, row: Mapping[str, Any]) -> None:
    self._records.train.write(row)
    self._display.episode(row)

  def learner(self, row: Mapping[str, Any]) -> None:
    self._records.learner.write(row)

  def evaluation(self, row: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    if row["number"] == evaluation.FINAL:
      self._final = evaluation.statistics([dict(result) for result in results])
      return
    counts = {"steps": row["steps"], "episodes": row["episodes"]}
    line = counts | evaluation.summarize([dict(result) for result in results]) | {"wall_seconds": row["seconds"]}
    self._records.evaluation(line)
    self._display.evaluating(0, len(results))  # It went on beside training, and took no time from it.
    self._display.evaluation(line)

  def progress(self, status: Mapping[str, Any]) -> None:
    self._status = status
    now = time.monotonic()
    if now - self._shown < _STATUS_SECONDS:
      return
    self._shown = now
    content = dict(status) | self._rates.of(status, now)
    rundir.write_json(self._directory.path / _STATUS, content)
    self._display.detail = describe(content)
    self._display.update(status["steps"], status["episodes"])

  def message(self, text: str) -> None:
    self._display.message(text.strip().splitlines()[0])
    with rundir.open_to_append(self._directory.path / "nodes.log") as file:
      file.write(f"{time.strftime('%H:%M:%S')} {text}\n")

  def save(self) -> Any:
    self._records.flush()
    return self._records.save()

  def saved(self, steps: int, episodes: int) -> None:
    self._directory.write_saved(steps, episodes)
    self._records.publish()

  def restore(self, state: Any) -> None:
    self._status = {"steps": self._directory.read_progress()[0]}
    self._records.restore(state)


class _Rates:
  """What has changed since the last look, a second."""

  def __init__(self) -> None:
    self._last: tuple[float, Mapping[str, Any]] | None = None

  def of(self, status: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Steps a second of each actor, learner steps, and bytes of batches."""
    before, self._last = self._last, (now, status)
    if before is None:
      return {}
    seconds, old = now - before[0], before[1]
    pairs = zip(status["actor_steps"], old["actor_steps"], strict=True)
    return {
      "actor_rates": [(new - then) / seconds for new, then in pairs],
      "learner_rate": (status["learner_steps"] - old["learner_steps"]) / seconds,
      "batch_bytes_rate": (status["batch_bytes"] - old["batch_bytes"]) / seconds,
    }


def describe(status: Mapping[str, Any]) -> str:
  """A status in a line."""
  parts = [f"learner {status['learner_steps']:,}"]
  if status["inserts"]:
    parts.append(f"{status['samples'] / status['inserts']:.2f} samples an insert")
  if "actor_rates" in status:
    rates = status["actor_rates"]
    parts.append(f"{len(rates)} actors {min(rates):,.0f}–{max(rates):,.0f}/s")
    parts.append(f"{status['batch_bytes_rate'] / 2**20:,.1f} MiB/s")
  if status["ready"] < status["nodes"]:
    parts.append(f"{status['ready']} of {status['nodes']} nodes ready")
  if status["restarts"]:
    parts.append(f"{sum(status['restarts'].values())} restarts")
  return ", ".join(parts)


def read_status(directory: RunDirectory) -> list[str]:
  """What status.json says, in lines; none where there is no such file. UsageError where it is damaged."""
  path = directory.path / _STATUS
  if not os.path.lexists(path):
    return []
  try:
    status = json.loads(rundir.read_text(path))
    age = time.time() - path.stat().st_mtime
    lines = [f"{age:,.0f} seconds ago: step {status['steps']:,}, {describe(status)}"]
    for i, taken in enumerate(status["actor_steps"]):
      rate = f", {status['actor_rates'][i]:,.0f} a second" if "actor_rates" in status else ""
      lines.append(f"  actor {i}: {taken:,} steps{rate}")
    return lines + [f"  {name} began anew {times:,} times" for name, times in status["restarts"].items()]
  except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
    raise UsageError(f"{path} cannot be read: {error!r}. It is written anew while the run goes on.") from error


def check(experiment: Experiment) -> None:
  """Raises UsageError where what runs on Ray is not installed."""
  if experiment.actors is not None:
    _load()


def _load() -> Any:
  """acme-ray, by its entry point."""
  found = plugins.load_runner("ray")
  if found is None:
    raise UsageError("--actors: runs on Ray need acme-ray, which is not installed: pip install acme-ray")
  return found
