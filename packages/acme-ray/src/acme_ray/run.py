"""One call that runs an agent on Ray, here or on somebody's cluster."""

import contextlib
import dataclasses
import functools
import logging
import os
import pathlib
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dm_env
import ray

import acme
from acme import plugins, types
from acme_ray import nodes, watching
from acme_ray.conductor import Conductor, Stopped
from acme_ray.state import Schedule
from acme_replay.embedded import free_memory

_ATTEMPTS = 3  # Ray gives its own processes 30 seconds to begin, which a machine under load exceeds.
_REACH_SECONDS = 10.0  # In which a cluster's machine answers.
_STORE_BYTES = 2 * 2**30  # Of Ray's object store, where Ray is begun here, at the most; …
_STORE_SHARE = 0.2  # … and as a share of the memory that is free.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
  """What came of a run.

  Attributes:
    steps, episodes: of all actors.
    learner_steps: SGD steps.
    inserts, samples: items.
    restarts: how often each node began anew, by its name; nodes that never did are left out.
    evaluations: of each its counts, its number (0 is the final one) and the returns of its episodes.
    params: what actors act with, as the learner gave it last.
  """

  steps: int
  episodes: int
  learner_steps: int
  inserts: int
  samples: int
  restarts: dict[str, int]
  evaluations: list[dict[str, Any]]
  params: types.NestedArray


def run(
  agent: str | plugins.AgentPlugin[Any],
  environment: str | Callable[[int], dm_env.Environment],
  *,
  steps: int,
  config: Any = None,
  backend: str | None = None,
  network: Any = None,
  seed: int = 0,
  num_actors: int = 1,
  num_envs: int = 1,
  num_shards: int = 1,
  replay: str = plugins.EMBEDDED,
  replay_options: Mapping[str, Any] | None = None,
  learner_gpus: float = 0,
  address: str | None = None,
  checkpoints: str | os.PathLike[str] | None = None,
  metadata: Mapping[str, Any] | None = None,
  watcher: watching.Watcher | None = None,
  stop: Callable[[], bool] = lambda: False,
  **schedule: Any,
) -> Outcome:
  """Trains an agent: actors, shards of replay, a learner and an evaluator, each a process of its own.

  Where `checkpoints` has some, the run goes on from the newest. Ctrl-C saves, and is raised.

  Args:
    agent: the name of an installed agent, or its plug-in.
    environment: a name that `acme_envs.make` takes, or a function of a seed; Ray pickles what is not importable.
    steps: environment steps of all actors together.
    config: the agent's; None for its default.
    backend: the library that it learns with; None for its first.
    network: in place of the agent's own; None for that.
    seed: what every other seed derives from.
    num_actors: how many act.
    num_envs: environments of each actor, in which it acts at once.
    num_shards: parts of the replay; several share its size.
    replay: what each keeps its items in, the name of an installed replay, such as "reverb" for a Reverb server.
    replay_options: keyword arguments of that, such as {"listen_everywhere": True}.
    learner_gpus: of the learner; everything else computes on CPUs.
    address: of a Ray cluster, HOST:PORT or "auto", which is left running; None or "local" for Ray on this machine
      alone, ended when the run is over. Where this process is connected to Ray already, that is used and left.
    checkpoints: a directory; None for a temporary one.
    metadata: JSON values kept beside each checkpoint.
    watcher: is told how it goes.
    stop: whether to save and to raise `Stopped`; asked some ten times a second.
    **schedule: fields of `acme_ray.state.Schedule`, such as `eval_every` and `block_steps`.

  Raises:
    ValueError: a number is too small, or the agent cannot be distributed.
    NodeFailed: a node fails again and again; its traceback is in the message.
    Stopped: `stop` said so, and everything is saved.
    CheckpointError: the checkpoints are of another run, or cannot be written.
    ConnectionError: there is no Ray at the address, or it asks for another token.
  """
  numbers = {"steps": steps, "num_actors": num_actors, "num_envs": num_envs, "num_shards": num_shards}
  for name, value in numbers.items():
    if value < 1:
      raise ValueError(f"{name}: expected 1 or more, got {value}.")
  if num_shards > num_actors:
    raise ValueError(f"num_shards: expected as many as actors at the most, {num_actors}, got {num_shards}.")
  planned = Schedule(steps=steps, **schedule)
  with contextlib.closing(nodes.make_environment(environment, 0)) as one:
    spec, frame_stack = acme.make_environment_spec(one), getattr(one, "frame_stack", None)
  recipe = nodes.Recipe(
    agent=agent,
    config=config,
    backend=backend,
    network=network,
    environment=environment,
    spec=spec,
    frame_stack=frame_stack,
    seed=seed,
    num_actors=num_actors,
    num_envs=num_envs,
    num_shards=num_shards,
    block_steps=planned.block_steps,
    prioritize=not planned.turns,  # As one process does, with which turns are compared.
    replay=replay,
    replay_options=replay_options or {},
  )
  with contextlib.ExitStack() as stack:
    interrupts = stack.enter_context(_interrupts())
    folder = checkpoints or stack.enter_context(tempfile.TemporaryDirectory())
    stack.enter_context(cluster(address, num_cpus=num_actors + num_shards + 2))
    _check_room(num_actors + num_shards + 2, learner_gpus)
    conductor = Conductor(
      recipe,
      planned,
      pathlib.Path(folder),
      metadata or {},
      watcher or watching.Watcher(),
      lambda: bool(interrupts) or stop(),
      learner_gpus,
    )
    stack.callback(conductor.close)
    try:
      result = conductor.run()
    except Stopped as stopped:
      if interrupts:
        raise KeyboardInterrupt(str(stopped)) from None
      raise
  return Outcome(**{field.name: result[field.name] for field in dataclasses.fields(Outcome)})


@contextlib.contextmanager
def cluster(address: str | None = None, num_cpus: int | None = None) -> Iterator[None]:
  """Connects to a cluster, or begins Ray on this machine alone and ends it, leaving no process and no file.

  Ray asks for a token of whoever connects. One that begins here is known to its own processes alone, by their
  environment: the file that Ray would write into the home directory is not.

  Args:
    address: of a cluster, HOST:PORT or "auto"; None or "local" for this machine alone, or for what is connected
      already.
    num_cpus: how many nodes Ray lets run at once here, however many cores there are.

  Raises:
    ValueError: the address is none of these.
    ConnectionError: there is no Ray, or it asks for another token.
  """
  if ray.is_initialized():
    yield
    return
  handlers = _handlers()
  os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # The supervisor handles them.
  mode = {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE")}  # Ray sets it, to ask for tokens.
  if address not in (None, "local"):
    try:
      _connect(address)
      _restore(handlers)
      yield
    finally:
      ray.shutdown()
      _put_back(mode)
    return
  folder = tempfile.mkdtemp(prefix="acme-ray-")  # Short: Ray puts sockets there, whose paths may have 107 letters.
  # What works stands back behind nobody: by default Ray's workers have niceness 15, and starve where others compute.
  ours = {"RAY_AUTH_TOKEN": _token(), "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
  ours["TMPDIR"] = folder  # What nodes that are killed leave behind goes with it.
  before = mode | {name: os.environ.get(name) for name in ours}
  os.environ.update(ours)
  try:
    _begin(folder, num_cpus)
    _restore(handlers)
    yield
  finally:
    ray.shutdown()
    _remove(folder)
    _put_back(before)


def _put_back(environment: Mapping[str, str | None]) -> None:
  """Sets variables of the environment; those that are None are to be none."""
  for name, value in environment.items():
    os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _connect(address: str) -> None:
  """Connects to somebody's cluster; where there is none it says so at once, which takes Ray more than a minute."""
  host, _, port = address.rpartition(":")
  if address != "auto" and not (host and "/" not in host and port.isdecimal() and int(port) < 2**16):
    raise ValueError(f"The address of a Ray cluster is HOST:PORT, auto or local, got {address!r}.")
  try:
    if address != "auto":
      socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS).close()
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
  except (OSError, RuntimeError, ray.exceptions.RayError) as error:
    raise ConnectionError(
      f"No connection to Ray at {address}: {str(error).rstrip('.')}. Where it asks for a token: RAY_AUTH_MODE=token, "
      "and have the token in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token."
    ) from error


@functools.cache
def _token() -> str:
  """The token of this process, which Ray reads once."""
  return os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)


def _begin(folder: str, num_cpus: int | None) -> None:
  """Begins Ray here, again where its own processes were too slow."""
  for attempt in range(_ATTEMPTS):
    try:
      ray.init(
        "local",  # Whatever RAY_ADDRESS says.
        num_cpus=num_cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=int(min(_STORE_BYTES, max(80 * 2**20, _STORE_SHARE * free_memory()))),
        _temp_dir=folder,
        _node_ip_address="127.0.0.1",
      )
      return
    except Exception as error:
      ray.shutdown()
      if attempt == _ATTEMPTS - 1:
        raise RuntimeError(
          f"Ray did not begin here in {_ATTEMPTS} attempts, as on a machine that has much else to do: {error} Begin it "
          "yourself (ray start --head), and give its address."
        ) from error


def _remove(folder: str) -> None:
  """Removes a folder that processes may be writing to for a moment yet."""
  for _ in range(50):
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.exists(folder):
      return
    time.sleep(0.1)


def _check_room(num_cpus: int, num_gpus: float) -> None:
  """Raises ValueError where the cluster has fewer cores or GPUs than the nodes take."""
  there = ray.cluster_resources()
  for name, wanted in (("CPU", num_cpus), ("GPU", num_gpus)):
    if there.get(name, 0) < wanted:
      raise ValueError(
        f"The nodes of this run take {wanted:g} {name}s, and Ray has {there.get(name, 0):g}: ask for fewer actors, or "
        "give it more."
      )


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
  """Notes the first Ctrl-C, where nobody else minds it, so that it comes between two steps; the second is Python's."""
  noted: list[int] = []

  def note(number: int, _: Any) -> None:
    if noted:
      raise KeyboardInterrupt
    noted.append(number)

  ours = _handlers().get(signal.SIGINT) is signal.default_int_handler
  if ours:
    signal.signal(signal.SIGINT, note)
  try:
    yield noted
  finally:
    if ours:
      signal.signal(signal.SIGINT, signal.default_int_handler)


def _handlers() -> dict[int, Any]:
  """Who minds the signals that Ray takes over."""
  if threading.current_thread() is not threading.main_thread():
    return {}
  return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def _restore(handlers: dict[int, Any]) -> None:
  for number, handler in handlers.items():
    signal.signal(number, handler)
