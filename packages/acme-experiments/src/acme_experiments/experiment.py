"""What a run is told to do: names, numbers and a schedule, all of which config.json holds."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

from acme import configs, plugins
from acme_experiments.usage import AUTO, Device, UsageError

_MANY = 2**63  # No number of a run's is as large: TensorBoard and NumPy could not hold it.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
  """Everything that decides what a run does.

  Attributes:
    agent: the name of an installed agent.
    environment: a name that `acme_envs.make` takes; None where an agent learns from a dataset, and is evaluated by what
      is held out of it alone.
    env_options: its keyword arguments, by name.
    wrap: names of wrappers around it with their options, the innermost first, as that takes them, too.
    folder: where files and modules are that environment, wrappers and observers name, so that they are found from
      anywhere; None where all is installed.
    seed: what every other seed of the run derives from.
    envs: environments that the agent acts in at once.
    preset: the preset the config began with, if any; a note, since `config` holds every field.
    config: the agent's config, every field by name.
    backend: the library that the agent learns with, such as jax or tf; None for the agent's first.
    device: where an agent in JAX computes: `cpu`, `gpu`, which is any accelerator, `split`, which acts on the CPU and
      learns there, or `auto`, which a run that begins replaces by where a step takes it least.
    replay: where its replay is: `auto`, `embedded`, `device`, `reverb`, or `reverb://HOST:PORT`.
    listen_everywhere: whether a replay that serves others does so on every network interface.
    simulator: whether the agent plans in copies of the environment itself, in place of a model that it learns.
    dataset: the path of recorded episodes to learn from in place of acting; steps are then learner steps.
    steps: environment steps to train for; None where `episodes` says when to end.
    episodes: episodes to train for; None where `steps` says.
    eval_every: environment steps between evaluations; 0 for none but the final one.
    eval_episodes: episodes of an evaluation; the final one has at least 20.
    eval_share: environment steps that evaluations, the final one apart, may take for each step of training: beyond them
      no episode begins, and an evaluation without episodes is left out. 0 for no limit.
    checkpoint_every: environment steps between checkpoints; None for every minute or so.
    video: whether the first episode of each evaluation is filmed.
    seeds: the seeds of a run of many, each with a directory of its own; None for a run of `seed` alone.
    log: where its points go: `tensorboard`, `jsonl`, `wandb`, `mlflow`, or what a package offers as `acme.loggers`.
    observe: who watches its steps: names that packages offer as `acme.observers`, or `module:Class`.
    stop_at: the mean return of an evaluation at which training ends; None for none.
    loop: `host`, where seeds are processes, or `device`, where all of them are one jitted program.
    actors: processes on Ray that act, in `envs` environments each; None for a run that is one process.
    shards: processes that the replay is in.
    ray_address: of a Ray cluster; None or local for Ray on this machine alone.
    learner_gpus: GPUs of the learner on Ray.
  """

  agent: str
  environment: str | None
  env_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  wrap: tuple[str, ...] = ()
  folder: str | None = None
  seed: int = 0
  envs: int = 1
  preset: str | None = None
  config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  backend: str | None = None
  device: Device = AUTO
  replay: str = AUTO
  listen_everywhere: bool = False
  simulator: bool = False
  dataset: str | None = None
  steps: int | None = None
  episodes: int | None = None
  eval_every: int = 0
  eval_episodes: int = 10
  eval_share: float = 2.0
  checkpoint_every: int | None = None
  video: bool = False
  seeds: tuple[int, ...] | None = None
  log: tuple[str, ...] = ("tensorboard",)
  observe: tuple[str, ...] = ()
  stop_at: float | None = None
  loop: Literal["host", "device"] = "host"
  actors: int | None = None
  shards: int = 1
  ray_address: str | None = None
  learner_gpus: float = 0.0

  def __post_init__(self) -> None:
    for name in ("seeds", "wrap", "log", "observe"):
      if isinstance(getattr(self, name), list):  # As JSON gives it.
        object.__setattr__(self, name, tuple(getattr(self, name)))
    try:
      configs.validate(self)
    except (TypeError, ValueError) as error:
      raise UsageError(str(error)) from error
    if not isinstance(self.config, Mapping):
      raise UsageError(f"Experiment.config: expected the config by field, got {self.config!r}.")
    if not isinstance(self.env_options, Mapping):
      raise UsageError(f"Experiment.env_options: expected keyword arguments by name, got {self.env_options!r}.")
    if (self.steps is None) == (self.episodes is None):
      raise UsageError("Expected either steps or episodes: give one of them.")
    if self.dataset is not None and (self.steps is None or self.envs != 1):
      raise UsageError("Nobody acts while an agent learns from a dataset: give learner steps, no episodes and no envs.")
    if self.environment is None and (self.dataset is None or self.wrap or self.env_options or self.video):
      raise UsageError(
        "Expected ENV, such as gym:CartPole-v1; --dataset does without it, then without --env.NAME, --wrap and --video."
      )
    if self.stop_at is not None and (self.environment is None or not self.eval_every):
      raise UsageError("--stop-at: expected a return that an evaluation may reach: give ENV, and --eval-every above 0.")
    if self.observe and (self.dataset is not None or self.envs > 1):
      raise UsageError("--observe: observers watch one environment: leave out --dataset, and give --envs 1.")
    least = {
      "seed": 0,
      "envs": 1,
      "steps": 1,
      "episodes": 1,
      "eval_every": 0,
      "eval_episodes": 1,
      "eval_share": 0,
      "checkpoint_every": 1,
      "actors": 1,
      "shards": 1,
      "learner_gpus": 0,
    }
    for name, low in least.items():
      value = getattr(self, name)
      if value is not None and value < low:
        raise UsageError(f"{name}: expected {low} or more, got {value}.")
      if value is not None and value >= _MANY:
        raise UsageError(f"{name}: expected a number below 2^63, got {value}.")
    seeds = self.seeds if self.seeds is not None else (0,)
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) >= _MANY:
      raise UsageError(f"seeds: expected numbers of 0 or more that differ, below 2^63, got {self.seeds}.")
    if self.loop == "device" and self.needs_host is not None:
      raise UsageError(f"--loop device: {self.needs_host}")
    if self.loop == "device" and self.device == "split":
      raise UsageError("--device split: a run that is one program is in one place: give cpu or gpu, or --loop host.")
    self._check_ray()

  def _check_ray(self) -> None:
    """Raises UsageError where a run on Ray is asked for what it has not, or another for what is Ray's."""
    rays = {"--shards": self.shards != 1, "--ray-address": self.ray_address is not None}
    rays["--learner-gpus"] = self.learner_gpus != 0
    if self.actors is None:
      if options := [option for option, given in rays.items() if given]:
        raise UsageError(f"{options[0]} is for runs on Ray: give --actors, too.")
      return
    others = {option: given for option, given in self._alone.items() if option != "--replay"}
    others |= {f"--replay {self.replay}": "://" in self.replay or self.replay == "device"}
    others |= {"--seeds": self.seeds is not None, "--loop device": self.loop == "device"}
    others |= {"--observe": bool(self.observe), "--stop-at": self.stop_at is not None, "--device": self.device != AUTO}
    if options := [option for option, given in others.items() if given]:
      raise UsageError(f"--actors: a run on Ray has no {options[0]}.")
    if self.shards > self.actors:
      raise UsageError(f"--shards: expected as many as actors at the most, {self.actors}, got {self.shards}.")

  def in_one_process(self, **changes: Any) -> "Experiment":
    """The same with some changes, and none of it on Ray."""
    return dataclasses.replace(self, actors=None, shards=1, ray_address=None, learner_gpus=0.0, **changes)

  @property
  def _alone(self) -> dict[str, bool]:
    """What is asked for that only a loop in one process on the host has, by option."""
    return {
      "--replay": self.replay not in (AUTO, plugins.EMBEDDED),
      "--simulator": self.simulator,
      "--dataset": self.dataset is not None,
      "--episodes": self.episodes is not None,
      "--video": self.video,
      "--observe": bool(self.observe),
    }

  @property
  def needs_host(self) -> str | None:
    """What of it no loop on a device does, as a sentence; None where there is nothing."""
    asked = {"--env.NAME": bool(self.env_options), **self._alone}
    options = [option for option, given in asked.items() if given]
    return f"{options[0]} is for the loop on the host." if options else None

  @property
  def place(self) -> str:
    """Where it is, in a word or two: the environment, or the dataset where there is none."""
    return self.environment or f"dataset {pathlib.PurePath(self.dataset or '').name}"

  @property
  def place_and_options(self) -> list[str]:
    """Where it is, with what sets it apart from others of the name: its own options, and its wrappers."""
    return [self.place, *(f"{name}={value}" for name, value in self.env_options.items()), *self.wrap]

  @property
  def in_processes(self) -> bool:
    """Whether its seeds are runs of their own."""
    return self.seeds is not None and self.loop == "host"

  @property
  def goal(self) -> str:
    """What the run trains for, in words."""
    if self.steps is None:
      return f"{self.episodes:,} episodes"
    return f"{self.steps:,} steps" if self.dataset is None else f"{self.steps:,} learner steps"

  def reached(self, steps: float, episodes: float) -> bool:
    """Whether so many steps and episodes are what the run trains for."""
    return steps >= self.steps if self.steps is not None else episodes >= (self.episodes or 0)

  def high_enough(self, mean_return: float) -> bool:
    """Whether training ends where an evaluation has this mean return."""
    return self.stop_at is not None and mean_return >= self.stop_at

  def evaluation_due(self, steps: int, evaluations: int) -> bool:
    """Whether it is time for one more evaluation, after so many steps and evaluations."""
    return self.eval_every > 0 and steps >= (evaluations + 1) * self.eval_every

  def evaluation_steps(self, steps: int) -> float:
    """The environment steps that evaluations may have taken after so many of training."""
    return steps * self.eval_share if self.eval_share else math.inf

  def next_event(self, steps: int, evaluations: int) -> float:
    """The step at which something other than training comes next: an evaluation, a checkpoint or the end."""
    events = [float("inf")]
    if self.steps is not None:
      events.append(self.steps)
    if self.eval_every:
      events.append((evaluations + 1) * self.eval_every)
    if self.checkpoint_every:
      events.append((steps // self.checkpoint_every + 1) * self.checkpoint_every)
    return min(events)
