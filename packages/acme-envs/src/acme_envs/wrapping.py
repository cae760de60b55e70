"""Wrappers by name, with options: "flatten", "frame_stack:4", "TimeLimit:max_episode_steps=500", "mine.py:Scaled:0.1".

A name is one of ours (`wrappers.BY_NAME`), or a class of `gymnasium.wrappers`, or "FILE.py:NAME" or "MODULE:NAME".
Those of Gymnasium go around what is Gymnasium's, so before any of ours; one's own gets the environment as it is there.
"""

import contextlib
import difflib
import inspect
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import dm_env
import numpy as np
import tree

import acme
from acme_envs import errors, own, wrappers


class Wrapper(NamedTuple):
  """What a name and its options say."""

  text: str
  function: Callable[..., Any]
  arguments: tuple[Any, ...]
  options: dict[str, Any]
  goes_around: str  # "gymnasium", "dm_env" or "any".


def parse(text: str, folder: str | None = None) -> Wrapper:
  """Finds a wrapper.

  Raises:
    ValueError: none is called so, or its options cannot be read.
    ImportError: importing its file or module failed.
  """
  name, _, rest = text.partition(":")
  function, goes_around = _find(name)
  if function is None and own.is_there(text, folder):
    function, rest = own.load(text, folder), own.split(text)[2]  # type: ignore[index]
    goes_around = "dm_env" if isinstance(function, type) and issubclass(function, dm_env.Environment) else "any"
  if function is None:
    raise ValueError(_explain(name))
  arguments, options = [], {}
  for part in _split(rest):
    key, equals, value = part.partition("=")
    if equals and key.isidentifier():
      options[key] = _tuples(parse_value(value))
    elif options:
      raise ValueError(f"wrapper {text!r}: expected NAME=VALUE after the first one with a name, got {part!r}.")
    else:
      arguments.append(_tuples(parse_value(part)))
  return Wrapper(text, function, tuple(arguments), options, goes_around)


def apply(wrapper: Wrapper, environment: Any, name: str) -> Any:
  """Wraps an environment, Gymnasium's or dm_env's, that was made with `name`; what comes may be either.

  Raises:
    ValueError: the wrapper does not fit the environment, or does not take such options.
  """
  if wrapper.goes_around == "gymnasium" and not own.is_gym(environment):
    raise ValueError(
      f"wrapper {wrapper.text!r} goes around what is Gymnasium's, and here is none: it is for gym: and for "
      "environments of your own that are Gymnasium's, and comes before ours."
    )
  if wrapper.goes_around == "dm_env" and own.is_gym(environment):
    environment = as_dm_env(environment, name)
  options, is_ours = dict(wrapper.options), wrapper.function in wrappers.BY_NAME.values()
  if is_ours and "name" in inspect.signature(wrapper.function).parameters:
    options["name"] = name
  try:
    wrapped = wrapper.function(environment, *wrapper.arguments, **options)
  except Exception as error:  # It may be somebody's.
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    raise ValueError(f"wrapper {wrapper.text!r}: {text}") from error
  if not own.is_gym(wrapped) and not isinstance(wrapped, dm_env.Environment):
    raise ValueError(f"wrapper {wrapper.text!r}: expected it to return an environment, got {wrapped!r:.100}.")
  if isinstance(wrapped, dm_env.Environment) and not is_ours and not hasattr(type(wrapped), "frame_stack"):
    wrapped.frame_stack = None  # What it shows need not be stacked any more, whatever is stacked inside.
  return wrapped


def as_dm_env(environment: Any, name: str) -> dm_env.Environment:
  """A Gymnasium environment as a dm_env one, of single precision.

  Raises:
    UnsupportedSpaceError: a space is of a kind that has no spec; the message names the wrapper that helps.
  """
  try:
    converted = acme.wrappers.GymWrapper(environment)
  except TypeError as error:
    text = str(error)
    if (key := re.match(r"observation\[(\w+)\]", text)) is not None:
      others = [each for each in environment.observation_space.spaces if each != key[1]]
      text = f"{text} By name: --wrap keep:{','.join(others)}" + (
        " or --wrap minigrid.wrappers:ImgObsWrapper, the image alone." if "MiniGrid" in name else "."
      )
    raise errors.UnsupportedSpaceError(f"{name}: {text}") from error
  return single(converted)


def single(environment: dm_env.Environment) -> dm_env.Environment:
  """The environment, within SinglePrecision where that changes anything: a wrapper less is a faster step."""
  wide = any(leaf.dtype in (np.float64, np.int64) for leaf in tree.flatten(acme.make_environment_spec(environment)))
  return acme.wrappers.SinglePrecision(environment) if wide else environment


def parse_value(text: str) -> Any:
  """A value as one types it: a number, True, False, None, a list or an object of JSON, else the text itself."""
  words = {"true": True, "false": False, "none": None, "null": None}
  if text.lower() in words:
    return words[text.lower()]
  try:
    return json.loads(text, parse_constant=str)
  except (ValueError, RecursionError):
    pass
  return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE) else text


def _find(name: str) -> tuple[Callable[..., Any] | None, str]:
  """A wrapper of ours or of Gymnasium's, and what it goes around."""
  if name in wrappers.BY_NAME:
    return wrappers.BY_NAME[name], "gymnasium" if name in wrappers.OF_GYMNASIUM else "dm_env"
  if not re.fullmatch(r"[A-Z]\w*", name):
    return None, ""
  try:
    gymnasium = errors.import_extra("gymnasium", "gym")
    found = getattr(errors.import_extra("gymnasium.wrappers", "gym"), name, None)
  except errors.MissingExtraError:
    return None, ""
  return (found, "gymnasium") if isinstance(found, type) and issubclass(found, gymnasium.Wrapper) else (None, "")


def _explain(name: str) -> str:
  known = [*wrappers.BY_NAME]
  with contextlib.suppress(errors.MissingExtraError):
    known += errors.import_extra("gymnasium.wrappers", "gym").__all__
  near = difflib.get_close_matches(name, known, n=2)
  hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(wrappers.BY_NAME)};"
  return f"No wrapper is called {name!r}. {hint} gymnasium.wrappers' by class, FILE.py:NAME and MODULE:NAME are others."


def _split(text: str) -> list[str]:
  """The parts between commas that are in no brackets, braces or quotes."""
  parts = re.findall(r'(?:\[[^\]]*\]|\{[^}]*\}|"(?:[^"\\]|\\.)*"|[^,\[{"])+', text)
  if ",".join(parts) != text:
    raise ValueError(f"wrapper options: expected them between commas, such as 4 or num_frames=4, got {text!r}.")
  return parts


def _tuples(value: Any) -> Any:
  return tuple(map(_tuples, value)) if isinstance(value, list) else value
