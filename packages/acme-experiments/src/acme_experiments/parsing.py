"""From a command line to one of the commands: tyro reads it, from dataclasses; what is wrong becomes one line."""

import contextlib
import dataclasses
import decimal
import difflib
import io
import json
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from acme_experiments.usage import AUTO, Device, UsageError, Which

if TYPE_CHECKING:
  from acme import plugins

RANDOM = "random"  # The seed of those who want a new one.
_SUFFIXES = {"": 0, "k": 3, "M": 6, "B": 9}


def whole_number(text: str) -> int:
  """A whole number as one types it: 1000000, 1_000_000, 1e6, 1M or 0.5k. Raises ValueError for anything else."""
  match = re.fullmatch(r"([+-]?[\d_]*\.?\d+)(?:[eE]([+]?\d{1,2}))?([kMB]?)", text)
  if match is None or not (match[2] or match[3] or "." in match[1]):
    return int(text)
  scaled = decimal.Decimal(match[1]).scaleb(int(match[2] or 0) + _SUFFIXES[match[3]], decimal.Context(prec=400))
  if scaled != int(scaled):
    raise ValueError(f"expected a whole number, got {text!r}")
  return int(scaled)


_REGISTRY = tyro.constructors.ConstructorRegistry()


@_REGISTRY.primitive_rule
def _read_integers(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
  """Wherever an integer is taken, in the agent's config too, it may be typed as a count."""
  if info.type is not int:
    return None
  return tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="INT",
    instance_from_str=lambda words: whole_number(words[0]),
    is_instance=lambda value: type(value) is int,
    str_from_instance=lambda value: [str(value)],
  )


_NO_PAIRS: Any = tyro.constructors.PrimitiveConstructorSpec(  # `parse` has taken them before tyro sees the others.
  nargs=1, metavar="VALUE", instance_from_str=lambda _: {}, is_instance=lambda _: True, str_from_instance=lambda _: [""]
)
Agent = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="AGENT")]
Environment = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")]
Directory = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
Number = Annotated[int, tyro.conf.arg(metavar="N")]
MaybeNumber = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")]
Path = Annotated[str, tyro.conf.arg(metavar="PATH")]
MaybeName = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
MaybePath = Annotated[str | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
Seed = Annotated[int | Literal["random"], tyro.conf.arg(metavar="N|random")]
MaybeSeed = Annotated[int | Literal["random"] | None, tyro.conf.arg(metavar="N|random", help_behavior_hint="")]
Parameters = Annotated[str, tyro.conf.arg(metavar="newest|best|STEP")]
EnvOptions = Annotated[Mapping[str, Any], _NO_PAIRS, tyro.conf.arg(name="env.NAME", help_behavior_hint="")]
Wrap = Annotated[
  tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME[:OPTION,...]", help_behavior_hint="")
]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """Train an agent in an environment; `acme run AGENT --help` shows the agent's own options too."""

  agent: Agent
  """One of the agents that `acme list` shows, such as dqn."""
  env: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ENV", help_behavior_hint="")] = None
  """Such as gym:CartPole-v1, atari:Pong, dm_control:cartpole:swingup or bsuite:catch/0; your own, a class or function,
  as FILE.py:NAME or MODULE:NAME; may be left out with --dataset."""
  env_options: EnvOptions = dataclasses.field(default_factory=dict)
  """A keyword argument of ENV: a number, True, False, None, text, or a list in JSON; once for each."""
  wrap: Wrap = ()
  """A wrapper around ENV, once for each, the innermost first: flatten, frame_stack:4, mask_velocity, keep:image, …; one
  of Gymnasium's, such as TimeLimit:500; or your own, as FILE.py:NAME or MODULE:NAME, before its options."""
  steps: MaybeNumber = None
  """Environment steps to train for, with --dataset learner steps; 50000 where neither this nor --episodes is given."""
  episodes: MaybeNumber = None
  """Episodes to train for, in place of --steps."""
  seed: Seed = 0
  """All randomness derives from it: the same seed gives the same run. random: one is chosen, said and recorded."""
  seeds: Annotated[str | None, tyro.conf.arg(metavar="LIST", help_behavior_hint="")] = None
  """Many seeds in place of one, such as 0-15 or 0-3,8: a directory of its own for each, within that of the run."""
  loop: Annotated[Literal["device", "host"] | None, tyro.conf.arg(metavar="WHERE", help_behavior_hint="")] = None
  """device: acting, learning and all seeds are one program there; host: an ordinary loop, and seeds are processes.
  By default device where it can be, which takes an environment jax:NAME and an agent in JAX, else host."""
  jobs: Number = 1
  """Seeds at once on the host, each in a process of its own."""
  envs: MaybeNumber = None
  """Environments to act in at once, with one call of the policy for all; by default 1, or what the agent asks for."""
  actors: MaybeNumber = None
  """Run on Ray: so many processes that act, one that learns, one that evaluates; any of them may die. pip install
  acme-ray."""
  shards: Number = 1
  """On Ray, processes that the replay is in."""
  ray_address: MaybeName = None
  """A Ray cluster, HOST:PORT or auto, which is left running; local, the default: Ray on this machine, for this run."""
  learner_gpus: Annotated[float, tyro.conf.arg(metavar="X")] = 0.0
  """On Ray, GPUs of the learner; everything else computes on CPUs."""
  out: MaybePath = None
  """The run directory, which must not exist; by default runs/AGENT-ENV-SEED-TIME."""
  backend: MaybeName = None
  """The library to learn with, jax or tf, where the agent has both; by default its first."""
  device: Annotated[Device, tyro.conf.arg(metavar="WHERE")] = AUTO
  """Where an agent in JAX computes: cpu; gpu, or any accelerator that JAX sees; split, acting on the CPU and learning
  there; auto, where a step takes least, which is measured as a run begins. On Ray see --learner-gpus."""
  replay: Annotated[str, tyro.conf.arg(metavar="NAME")] = AUTO
  """embedded, in this process; mapped, observations in a temporary file; device, observations on the device; auto,
  which gives the same samples: device where JAX sees an accelerator and they fit there, else embedded; reverb, a Reverb
  server in this process, on Ray in each shard; reverb://HOST:PORT, that of `acme replay-server`."""
  listen_everywhere: Flag = False
  """Allow the server of --replay reverb, which listens on every network interface: whoever reaches it may write."""
  simulator: Flag = False
  """Plan in copies of ENV itself, in place of a model that is learned, where the agent plans, as mcts does."""
  dataset: MaybePath = None
  """A folder of recorded episodes to learn from, in place of acting in ENV, which is then for evaluations only, and may
  be left out: specs come from the dataset."""
  preset: MaybeName = None
  """A config that comes with the agent, to which --config options then apply; auto: the one that was found for ENV, or
  the defaults where the agent has none."""
  eval_every: MaybeNumber = None
  """Environment steps between evaluations; 0 for none but the final one. By default a twentieth of --steps, or 2500."""
  eval_episodes: Number = 10
  """Greedy episodes in an evaluation; the final one has at least 20."""
  eval_share: Annotated[float, tyro.conf.arg(metavar="X")] = 2.0
  """Steps that evaluations may take for each of training, the final one apart: beyond, no episode begins. 0: any."""
  checkpoint_every: MaybeNumber = None
  """Environment steps between checkpoints; by default one comes every minute or so."""
  video: Flag = False
  """Film the first episode of each evaluation, under DIR/videos."""
  log: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = ("tensorboard",)
  """Where curves go, besides CSV files: tensorboard, jsonl, wandb, mlflow, or what a package offers."""
  observe: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODULE:CLASS...", help_behavior_hint="")] = ()
  """Observers of the training steps, whose metrics go into train.csv: MODULE:CLASS, or names that packages offer."""
  stop_at: Annotated[float | None, tyro.conf.arg(metavar="RETURN", help_behavior_hint="")] = None
  """End, saved, when the mean return of an evaluation reaches it; on a device the mean over seeds."""
  config_file: Annotated[str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
  """Options in TOML, such as steps = 10000, and under [config] the agent's; those of the command line come first."""
  quiet: Flag = False
  """Print the result only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resume:
  """Go on with a run that was stopped or killed, as if it had not been; or, with --steps, with one that is over."""

  directory: Directory
  """The run directory."""
  steps: MaybeNumber = None
  """Train up to so many environment steps in all, in place of what the run was started with."""
  episodes: MaybeNumber = None
  """Train up to so many episodes in all."""
  ray_address: MaybeName = None
  """Of a run on Ray: the cluster to go on in, where it is another; local for this machine alone."""
  jobs: Number = 1
  """As for `acme run`."""
  quiet: Flag = False
  """Print the result only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
  """Say how far a run is, and of one on Ray how its nodes are."""

  directory: Directory
  """The run directory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
  """Evaluate the newest or the best parameters of a run, which may still be going on."""

  directory: Directory
  """The run directory."""
  episodes: Number = 20
  """Greedy episodes."""
  seed: MaybeSeed = None
  """Of their starts, so that several runs are evaluated on the same ones; else those of the run's final evaluation."""
  which: Parameters = "newest"
  """The newest parameters; the best: those of the evaluation with the highest mean return; or those of a STEP whose
  checkpoint is kept."""
  video: MaybePath = None
  """A file for a film of the first of them, such as best.mp4 or best.gif."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
  """Write the policy of a run as a folder that acts without this project, and says how in its README.md."""

  directory: Directory
  """The run directory; of many seeds that of one, or the whole for the best one."""
  out: Path
  """The folder, which must not exist."""
  which: Parameters = "newest"
  """As for `acme evaluate`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
  """Play the policy of a run, and write whole episodes to a dataset, which `acme run --dataset` learns from."""

  directory: Directory
  """The run directory, of one seed."""
  out: Path
  """The dataset: a new folder, or a dataset of the same specs, to which the episodes are added."""
  episodes: MaybeNumber = None
  """How many."""
  steps: MaybeNumber = None
  """Environment steps, in place of --episodes; the episode in progress is played to its end."""
  which: Parameters = "newest"
  """As for `acme evaluate`."""
  seed: Seed = 0
  """Of the episodes and of what is drawn: another seed gives other episodes."""
  epsilon: Annotated[float, tyro.conf.arg(metavar="X")] = 0.0
  """With this probability an action is drawn uniformly, where actions are discrete."""
  noise: Annotated[float, tyro.conf.arg(metavar="X")] = 0.0
  """Standard deviation of Gaussian noise on continuous actions, in halves of their range; they are clipped to it."""
  explore: Flag = False
  """Act as in training, by the agent's own exploration, and record its extras, which some agents learn from."""
  core: Flag = False
  """Record the recurrent state before each action, with which stored sequences then begin."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
  """Say what is in a dataset, check it, convert it to or from Minari's format, or merge several into one."""

  what: Annotated[
    Literal["info", "check", "convert", "merge"],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="info|check|convert|merge"),
  ]
  """info: specs, episodes, steps, returns; check: checksums, lengths, dtypes, bounds, NaN, discounts."""
  paths: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATH...", help_behavior_hint="")]
  """The dataset, of either format, or minari:NAME; to merge, several, whose specs must agree."""
  out: MaybePath = None
  """What convert and merge write, which must not exist; convert may write minari:NAME."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
  """Draw learning curves: a median over seeds for each agent and config, with its interquartile band."""

  directories: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR...", help_behavior_hint="")]
  """Run directories; those that differ in nothing but the seed make one curve."""
  out: Path
  """The picture, such as curves.png, curves.pdf or curves.svg."""
  columns: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...", help_behavior_hint="")] = ()
  """Columns of eval.csv, such as train_loss held_out_loss; by default the return, or these where there is none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
  """Compare agents over seeds and tasks: tables in Markdown, and a page of curves, IQMs and performance profiles."""

  directories: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR...", help_behavior_hint="")]
  """Run directories; those that differ in nothing but the seed are seeds of one agent."""
  out: Path
  """The folder, which must not exist: report.md, report.png, report.pdf."""
  ranges: Annotated[str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
  """Returns that stand for the scores 0 and 1 of a task, in TOML: "gym:CartPole-v1" = [0, 500]; by default the lowest
  and the highest that any of the runs came to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayServer:
  """Run a Reverb server for `acme run AGENT ENV --replay reverb://HOST:PORT`, with the same agent, config and env."""

  agent: Agent
  """The agent whose tables it holds."""
  env: Environment
  """The environment, which says what a step is."""
  env_options: EnvOptions = dataclasses.field(default_factory=dict)
  """As for `acme run`."""
  wrap: Wrap = ()
  """As for `acme run`."""
  port: Annotated[int, tyro.conf.arg(metavar="PORT")] = 8000
  """Where it listens."""
  listen_everywhere: Flag = False
  """Allow it, as it listens on every network interface: whoever reaches the port may read and write."""
  checkpoints: Path = "replay-checkpoints"
  """A folder for its contents: the newest there is loaded, and one is written when it stops or a run saves."""
  backend: MaybeName = None
  """As for `acme run`."""
  preset: MaybeName = None
  """As for `acme run`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class List:
  """Show the agents and environment suites that are installed, or the runs in a folder."""

  runs: Annotated[str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
  """A folder with runs: what each is of, its state, how far it is and what it came to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doctor:
  """Say what is installed, what it sees of the machine, and of what is missing how to get it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Completion:
  """Print what completes `acme` in a shell; eval "$(acme completion bash)" in ~/.bashrc, and so on."""

  shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional, tyro.conf.arg(metavar="bash|zsh|fish")]
  """The shell; fish reads it from ~/.config/fish/completions/acme.fish."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckEnv:
  """Check that an environment keeps to its specs, and say what is wrong where it does not."""

  env: Environment
  """The environment's name, as for `acme run`."""
  env_options: EnvOptions = dataclasses.field(default_factory=dict)
  """As for `acme run`."""
  wrap: Wrap = ()
  """As for `acme run`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NewAgent:
  """Write the package of a new agent, which installs, learns and passes the conformance tests as it stands."""

  name: Name
  """Lower-case letters, digits and dashes, such as my-dqn; the package is then acme-my-dqn."""
  kind: Literal["discrete", "continuous", "recurrent", "queue", "offline"] = "discrete"
  """What it begins from: Q-learning, a deterministic policy gradient, Q-learning with memory, an actor-critic that
  learns from each sequence once, or behavioural cloning from a dataset."""
  backend: Literal["jax", "tf"] = "jax"
  """The library; in tf there are discrete and continuous."""
  out: Path = "."
  """The folder to write the package into."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
  """Try many configs of an agent, each on the same seeds, and rank them; `acme resume DIR` goes on with a sweep."""

  file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
  """What to try, in TOML: agent, env, options of `acme run`, and under [sweep] values for fields of the config."""
  out: MaybePath = None
  """The sweep's directory, which must not exist; by default runs/sweep-FILE-TIME."""
  jobs: Number = 1
  """Processes at once, each of a trial; or of several that are one program on the device."""
  quiet: Flag = False
  """Print the result only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bsuite:
  """Train an agent on ids of bsuite, and score it as the suite does; `acme resume DIR` goes on with it."""

  agent: Agent
  """One of the agents that `acme list` shows, for discrete actions."""
  ids: Annotated[tuple[str, ...], tyro.conf.arg(metavar="testing|all|NAME...")] = ("testing",)
  """testing: the suite's own sweep of one id for each environment; all: its whole sweep of 468; experiments, such as
  catch; or ids, such as catch/0."""
  episodes: MaybeNumber = None
  """Episodes of each id; by default those that the suite prescribes for it, mostly 10000, without which its score is
  not the suite's."""
  seed: Number = 0
  """The run of catch/3 has this seed and 3."""
  jobs: Number = 1
  """Ids at once, each in a process of its own."""
  out: MaybePath = None
  """The directory, which must not exist; by default runs/bsuite-AGENT-TIME."""
  backend: MaybeName = None
  """As for `acme run`."""
  preset: MaybeName = None
  """As for `acme run`, but for auto: all ids have the same config."""
  simulator: Flag = False
  """As for `acme run`."""
  quiet: Flag = False
  """Print the result only."""


Command = (
  Run
  | Sweep
  | Bsuite
  | Resume
  | Status
  | Evaluate
  | Export
  | Record
  | Dataset
  | Plot
  | Report
  | ReplayServer
  | List
  | CheckEnv
  | NewAgent
  | Doctor
  | Completion
)
_MOST_SEEDS = 100_000  # In one range.
ENV_OPTIONS = "env-options"  # The table of a file with what the command line has as --env.NAME.
_NOT_IN_FILES = ("agent", "env", "config_file", "help")
COMMANDS: dict[str, type] = {
  "run": Run,
  "sweep": Sweep,
  "bsuite": Bsuite,
  "resume": Resume,
  "status": Status,
  "evaluate": Evaluate,
  "export": Export,
  "record": Record,
  "dataset": Dataset,
  "plot": Plot,
  "report": Report,
  "replay-server": ReplayServer,
  "list": List,
  "check-env": CheckEnv,
  "new-agent": NewAgent,
  "doctor": Doctor,
  "completion": Completion,
}


def parse(arguments: Sequence[str]) -> tuple[Command, Any]:
  """Reads a command line.

  Returns:
    The command, and the agent's config where it has one (None for the others).

  Raises:
    UsageError: it cannot be read; the message is one line.
    PluginError: no such agent.
    SystemExit: help was asked for, and printed.
  """
  commands: dict[str, Callable[..., Any]] = dict(COMMANDS)
  if arguments and not arguments[0].startswith("-") and arguments[0] not in commands:
    raise UsageError(f"No command is called {arguments[0]!r}. {near(arguments[0], commands)}")
  if arguments[:1] == ["run"] and (path := _value_of("--config-file", arguments)) is not None:
    arguments = _insert(_options_of(path, without_wrap=_value_of("--wrap", arguments) is not None), arguments)
  env_options: dict[str, Any] = {}
  if arguments[:1] and arguments[0] in _IN_ENVIRONMENTS:
    arguments, env_options = _take_env_options(arguments)
  agent = next((a for a in arguments[1:2] if not a.startswith("-")), None)
  if arguments[:1] and arguments[0] in WITH_CONFIG and agent is not None:
    from acme import plugins  # Not at the top: help is quicker without.

    plugin, preset = plugins.load_agent(agent), _value_of("--preset", arguments)
    env = next((a for a in arguments[2:3] if not a.startswith("-")), None)
    commands[arguments[0]] = _with_config(WITH_CONFIG[arguments[0]], plugin, choose_preset(plugin, preset, env))
  errors = io.StringIO()
  try:
    with contextlib.redirect_stderr(errors), _REGISTRY:
      command = tyro.extras.subcommand_cli_from_dict(
        commands, prog="acme", description="Train, resume, evaluate and plot agents.", args=list(arguments)
      )
  except SystemExit as exit_:
    if exit_.code in (0, None):
      raise
    raise UsageError(_one_line(errors.getvalue(), commands.get(arguments[0]))) from None
  if env_options:
    command = dataclasses.replace(command, env_options=env_options)
  return command, getattr(command, "config", None)


def is_position(hint: Any) -> bool:
  """Whether a field's type says that it is no option but a position on the command line."""
  return typing.get_args(tyro.conf.Positional[int])[1] in typing.get_args(hint)


def near(name: str, known: Iterable[str]) -> str:
  """Near matches of a name among those known, as a sentence."""
  known = list(known)
  return _hint(difflib.get_close_matches(name, known), known)


def _hint(matches: Sequence[str], known: Iterable[str]) -> str:
  return f"Did you mean {' or '.join(matches)}?" if matches else f"Known: {', '.join(known) or 'none'}."


def seeds(text: str) -> tuple[int, ...]:
  """Seeds from text such as 0-3,8; UsageError where it is none."""
  found: list[int] = []
  for part in text.split(","):
    match = re.fullmatch(r"(\d{1,40})(?:-(\d{1,40}))?", part.strip())
    if match is None or not int(match[1]) <= int(match[2] or match[1]) < int(match[1]) + _MOST_SEEDS:
      raise UsageError(f"--seeds: expected numbers and ranges of them, such as 0-15 or 0-3,8, got {text!r}.")
    found += range(int(match[1]), int(match[2] or match[1]) + 1)
  return tuple(found)


def which(text: str) -> Which:
  """What `--which` says; UsageError where it is nothing of the kind."""
  if text == "best":
    return "best"
  if text == "newest":
    return "newest"
  if not re.fullmatch(r"\d{1,15}", text):
    raise UsageError(f"--which: expected newest, best or the step of a checkpoint, got {text!r}.")
  return int(text)


def choose_preset(plugin: "plugins.AgentPlugin", preset: str | None, env: str | None) -> str | None:
  """The preset of that name; of `auto` the one that was found for an environment, None where there is none.

  `gym:X`, `jax:X` and `X` have one, and so have `dm_control:cartpole:balance` and `swingup`, `bsuite:catch/0` and `/1`.

  Raises:
    UsageError: there is no environment to choose by.
  """
  if preset != AUTO:
    return preset
  if env is None:
    raise UsageError("--preset auto chooses by the environment: give ENV, right after AGENT.")
  suite, colon, name = env.partition(":")
  name = name if colon else suite
  return next((plugin.tuned[each] for each in (name, re.split("[:/]", name)[0]) if each in plugin.tuned), None)


def default_config(plugin: "plugins.AgentPlugin", preset: str | None) -> Any:
  """The config of a preset, or the default one; UsageError where there is no such preset."""
  if preset is None:
    return plugin.config()
  if preset not in plugin.presets:
    raise UsageError(f"The agent {plugin.name!r} has no preset {preset!r}. {near(preset, plugin.presets)}")
  return plugin.presets[preset]()


_IN_ENVIRONMENTS = ("run", "replay-server", "check-env")  # They take --env.NAME.
WITH_CONFIG: dict[str, type] = {"run": Run, "bsuite": Bsuite, "replay-server": ReplayServer}


def _with_config(command: type, plugin: "plugins.AgentPlugin", preset: str | None) -> type:
  """A command with the agent's config as a field, whose default is the preset's."""
  default = default_config(plugin, preset)
  hint: Any = Annotated[plugin.config, tyro.conf.FlagConversionOff]  # type: ignore[name-defined]
  cls = dataclasses.make_dataclass(
    command.__name__,
    [("config", hint, dataclasses.field(default=default))],
    bases=(command,),
    frozen=True,
    kw_only=True,
  )
  cls.__doc__ = f"Train {plugin.name} in an environment: {plugin.summary}" if command is Run else command.__doc__
  return cls


def _take_env_options(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
  """The arguments without `--env.NAME VALUE`, and these as keyword arguments; the last one of a name counts."""
  from acme_envs import parse_value

  rest: list[str] = []
  options: dict[str, Any] = {}
  words = iter(arguments)
  for word in words:
    if not word.startswith("--env."):
      rest.append(word)
      continue
    option, equals, value = word.partition("=")
    name = option.removeprefix("--env.").replace("-", "_")
    if not name.isidentifier():
      raise UsageError(f"{option}: expected the name of a keyword argument, such as --env.size 5.")
    found = value if equals else next(words, None)
    if found is None or (not equals and found.startswith("--")):
      raise UsageError(f"{option}: expected a value, such as {option} 5.")
    options[name] = parse_value(found)
  return rest, options


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
  """The value of an option that has to be known before the others can be read; the last one counts."""
  found = None
  for argument, following in zip(arguments, [*arguments[1:], None], strict=True):
    if argument == option:
      found = following
    if argument.startswith(option + "="):
      found = argument.removeprefix(option + "=")
  return found


def _insert(options: Sequence[str], arguments: Sequence[str]) -> list[str]:
  """The arguments with options before all their own, which are read later and so win."""
  first = next((i for i, argument in enumerate(arguments) if argument.startswith("--")), len(arguments))
  return [*arguments[:first], *options, *arguments[first:]]


def _options_of(path: str, without_wrap: bool) -> list[str]:
  """What a TOML file says, as a command line; UsageError where it cannot be read."""
  source = f"--config-file: {path}"
  content = read_toml(path, source)
  if without_wrap:  # Those of the command line stand in its place: these would be added to them.
    content.pop("wrap", None)
  return to_options(source, content)


def read_toml(path: str, source: str) -> dict[str, Any]:
  """What a TOML file says; UsageError, which begins with `source`, where it cannot be read."""
  try:
    with open(path, "rb") as file:
      return tomllib.load(file)
  except (OSError, ValueError, RecursionError) as error:
    raise UsageError(f"{source} cannot be read: {error}") from error


def config_table(source: str, content: Mapping[str, Any], name: str = "config") -> dict[str, Any]:
  """The table `config` of a file, or another, which may be left out; UsageError where it is something else."""
  table = content.get(name, {})
  if not isinstance(table, dict):
    raise UsageError(f"{source}: expected a table [{name}], got {table!r}.")
  return table


def to_options(source: str, content: Mapping[str, Any]) -> list[str]:
  """Options of `acme run` by name, and the tables `config` and `env-options`, as a command line.

  Raises:
    UsageError: they cannot be such options; the message names their source.
  """
  config, env_options = config_table(source, content), config_table(source, content, ENV_OPTIONS)
  if reserved := [name for name in content if name.replace("-", "_") in _NOT_IN_FILES]:
    raise UsageError(f"{source}: {reserved[0]} is for the command line of `acme run`, and not for a file.")
  if "env_options" in content:
    raise UsageError(f"{source}: expected the table of ENV's keyword arguments as [{ENV_OPTIONS}].")
  for table in (content, config, env_options):
    _refuse_twice(source, table)
  flags = {field.name for field in dataclasses.fields(Run) if field.type == Flag}
  options: list[str] = []
  for name, value in content.items():
    if name in ("config", ENV_OPTIONS):
      continue
    if name == "wrap":
      options += [word for each in _words(source, name, value) for word in ("--wrap", each)]
    elif name.replace("-", "_") in flags:
      if not isinstance(value, bool):
        raise UsageError(f"{source}: {name}: expected true or false, got {value!r}.")
      options += [f"--{name}"] if value else []
    else:
      options += [f"--{name}", *_words(source, name, value)]
  for name, value in env_options.items():
    options.append(f"--env.{name}={_typed(source, name, value)}")
  for name, value in config.items():
    options += [f"--config.{name}", *_words(source, name, value)]
  return options


def _refuse_twice(source: str, table: Mapping[str, Any]) -> None:
  """Raises UsageError where an option is there twice: dashes stand for underscores."""
  seen: dict[str, str] = {}
  for name in table:
    if (other := seen.setdefault(name.replace("-", "_"), name)) != name:
      raise UsageError(f"{source}: {other} and {name} are one option: give one of them.")


def _typed(source: str, name: str, value: Any) -> str:
  """A keyword argument of an environment as the command line has it."""
  try:
    return json.dumps(value, allow_nan=False)
  except (TypeError, ValueError) as error:
    raise UsageError(f"{source}: {ENV_OPTIONS}.{name}: expected what JSON has, got {value!r}.") from error


def _words(source: str, name: str, value: Any) -> list[str]:
  """A value as the command line has it: of a list, each element."""
  values = value if isinstance(value, list) else [value]
  if not all(isinstance(each, str | int | float) for each in values):
    raise UsageError(f"{source}: expected a number, text or a list of them at {name}, got {value!r}.")
  if any(isinstance(each, str) and re.match(r"-(?![\d.])|.*\0", each, re.DOTALL) for each in values):
    raise UsageError(f"{source}: expected text that is no option at {name}, got {value!r}.")
  return [str(each) for each in values]


def _one_line(text: str, command: Any) -> str:
  """The first paragraph of what tyro drew, as a line; an unknown option gets its near matches."""
  lines = [line.strip(" │|") for line in text.splitlines()]
  paragraphs: list[list[str]] = [[]]
  for line in lines:
    if line.startswith(("╭", "╰", "+-", "───", "---")):
      paragraphs.append([])
    elif line:
      paragraphs[-1].append(line)
  messages = [" ".join(paragraph) for paragraph in paragraphs[1:] if paragraph]  # [0] is empty, or a title.
  message = messages[0] if messages else " ".join(lines)
  if command is not None and (unknown := re.match(r"Unrecognized options: (--[\w.-]+)", message)):
    return f"No option is called {unknown[1]}. {_near_options(unknown[1], command)}"
  if value := re.match(r"Error parsing (\S+): .* could be instantiated from \[(.*?)\]", message):
    return f"{value[1]} cannot be {value[2]}: see --help for what it takes."
  return re.sub(r"Error parsing \S*\.?config: ", "", message)


def _near_options(option: str, command: Any) -> str:
  """Near matches of an option: among those of the config, where it would be one."""
  fields = {field.name: field for field in dataclasses.fields(command)}
  prefix = "--config." if option.startswith("--config.") else "--"
  if prefix == "--config.":
    if "config" not in fields:
      return "Config options need the agent first: acme run AGENT ENV --config.FIELD VALUE."
    config: Any = fields["config"].default
    fields = {field.name: field for field in dataclasses.fields(config)}
  known = [name.replace("_", "-") for name in fields if name not in ("config", "env_options")]
  matches = difflib.get_close_matches(option.removeprefix(prefix).replace("_", "-"), known)
  return _hint([prefix + name for name in matches], [prefix + name for name in known])
