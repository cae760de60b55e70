"""`acme completion SHELL`: a script that completes commands, agents, options and their values without running anything.

It knows the agents that are installed when it is written.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, Literal

from acme import plugins
from acme_experiments import parsing


@dataclasses.dataclass(frozen=True)
class Options:
  """What may follow a command, or an agent."""

  switches: Sequence[str]
  """Those that take no value."""
  values: Mapping[str, Sequence[str]]
  """Those that take one, with the words for it where these are known."""
  first: Sequence[str] = ()
  """The words for what comes first, which is no option."""


def write(shell: Literal["bash", "zsh", "fish"], commands: Mapping[str, type]) -> str:
  """The script for a shell, which reads it at its start."""
  found = plugins.list_agents()
  agents = {name: _config(name, found) for name in found}
  options = {name: _options(cls, list(agents)) for name, cls in commands.items()}
  if shell == "fish":
    return "\n".join(_fish(commands, options, agents)) + "\n"
  head = "" if shell == "bash" else "autoload -U +X bashcompinit && bashcompinit\n"
  return head + _bash(options, agents)


def _options(command: type, agents: Sequence[str]) -> Options:
  """What a command takes, by its fields."""
  hints = typing.get_type_hints(command, include_extras=True)
  switches = ["--help"]
  values: dict[str, Sequence[str]] = {}
  positions: list[Sequence[str]] = []
  for field in dataclasses.fields(command):
    name = f"--{field.name.replace('_', '-')}"
    if hints[field.name] == parsing.Flag:
      switches.append(name)
    elif field.name == "env_options":
      values["--env."] = ()
    elif parsing.is_position(hints[field.name]):
      positions.append(agents if field.name == "agent" else list(dict.fromkeys(_choices(hints[field.name]))))
    else:
      values[name] = list(dict.fromkeys(_choices(hints[field.name])))
  return Options(switches, values, *positions[:1])


def _choices(hint: Any) -> Iterator[Any]:
  """The words of all `Literal` within a type, and those in small letters of what help shows as one|another."""
  for metavar in (getattr(each, "metavar", None) or "" for each in getattr(hint, "__metadata__", ())):
    yield from (word for word in metavar.split("|") if "|" in metavar and word.islower())
  if typing.get_origin(hint) is Literal:
    yield from typing.get_args(hint)
  else:
    for part in typing.get_args(hint):
      yield from _choices(part)


def _config(agent: str, agents: Mapping[str, metadata.EntryPoint]) -> Options:
  """The fields of an agent's config, and its presets; none of an agent that is broken."""
  try:
    plugin = plugins.load_agent(agent, agents)
  except plugins.PluginError:
    return Options((), {})
  hints = typing.get_type_hints(plugin.config, include_extras=True)
  fields = {
    f"--config.{field.name.replace('_', '-')}": ("True", "False") if hints[field.name] is bool else ()
    for field in dataclasses.fields(plugin.config())
  }
  return Options((), {**fields, "--preset": (parsing.AUTO, *plugin.presets), "--backend": tuple(plugin.backends)})


_BASH = """\
# Completion of `acme`: eval "$(acme completion bash)" in ~/.bashrc, of zsh in ~/.zshrc.
_acme() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" options="" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{commands} --help --version"
  else
    case "${{COMP_WORDS[1]}}" in
{by_command}
    esac
    case "${{COMP_WORDS[1]}}/${{COMP_WORDS[2]}}" in
{by_agent}
    esac
    case "${{COMP_WORDS[1]}} $3" in
{by_value}
    esac
    case "${{COMP_WORDS[2]}} $3" in
{by_agents_value}
    esac
    case "$word" in -*) words="$options" ;; esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _acme acme
"""


def _bash(commands: Mapping[str, Options], agents: Mapping[str, Options]) -> str:
  def case(pattern: str, action: str) -> str:
    return f"      {pattern}) {action} ;;"

  def values(owners: Mapping[str, Options]) -> list[str]:
    return [
      case(f'"{owner} {name}"', f'words="{" ".join(words)}"')
      for owner, options in owners.items()
      for name, words in options.values.items()
      if words
    ]

  by_command = []
  for name, options in commands.items():
    words = f'; [ "$COMP_CWORD" -eq 2 ] && words="{" ".join(options.first)}"' if options.first else ""
    by_command.append(case(name, f'options="{" ".join([*options.switches, *options.values])}"{words}'))
  by_agent = [
    case("|".join(f"{command}/{name}" for command in parsing.WITH_CONFIG), f'options="$options {" ".join(fields)}"')
    for name, options in agents.items()
    if (fields := [field for field in options.values if field.startswith("--config.")])
  ]
  return _BASH.format(
    commands=" ".join(commands),
    by_command="\n".join(by_command),
    by_agent="\n".join(by_agent),
    by_value="\n".join(values(commands)),
    by_agents_value="\n".join(values(agents)),
  )


def _fish(classes: Mapping[str, type], commands: Mapping[str, Options], agents: Mapping[str, Options]) -> Iterator[str]:
  yield "# Completion of `acme`: acme completion fish > ~/.config/fish/completions/acme.fish"

  def line(condition: str, options: Options) -> Iterator[str]:
    for switch in options.switches:
      yield f"complete -c acme -n '{condition}' -l {switch.removeprefix('--')}"
    for name, words in options.values.items():
      known = f" -x -a '{' '.join(words)}'" if words else " -r"
      yield f"complete -c acme -n '{condition}' -l {name.removeprefix('--')}{known}"

  for name, cls in classes.items():
    summary = (cls.__doc__ or "").partition(";")[0].partition(".")[0].replace("'", "’").replace("\n", " ")
    yield f"complete -c acme -f -n __fish_use_subcommand -a {name} -d '{summary}'"
    yield from line(f"__fish_seen_subcommand_from {name}", commands[name])
    if words := " ".join(commands[name].first):
      none_yet = f"__fish_seen_subcommand_from {name}; and not __fish_seen_subcommand_from {words}"
      yield f"complete -c acme -f -n '{none_yet}' -a '{words}'"
  takes = " ".join(parsing.WITH_CONFIG)
  for name, options in agents.items():
    yield from line(f"__fish_seen_subcommand_from {takes}; and __fish_seen_subcommand_from {name}", options)
