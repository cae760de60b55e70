"""Where an agent computes where JAX sees an accelerator: on that, on the CPU, or acting on the CPU and learning on it.

A call of a small network costs a CPU some 40 µs and an accelerator several times that, most of it the way there and
back; the update of a large one costs an accelerator a hundredth. What an agent's calls take is measured, therefore.

Shapes: N environments, B batch.
"""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import dm_env
import jax
import numpy as np
import tree

from acme import builders, core, experience, plugins, replay, specs, types
from acme_jax import networks
from acme_jax.program import PARAMS

Component = TypeVar("Component", bound=core.Saveable)

CPU, ACCELERATOR, SPLIT = "cpu", "gpu", "split"

_CALLS = 20  # That are timed, …
_SECONDS = 0.5  # … for so long at the most.


class Placement(NamedTuple):
  """Devices."""

  actor: jax.Device
  learner: jax.Device


class Costs(NamedTuple):
  """What the calls of an agent take on one device, in seconds."""

  act: float  # an action for each of N environments
  learn: float  # a learner step
  params: types.NestedArray = None  # that one has, which the other device may want


def available(devices: Sequence[jax.Device] | None = None) -> dict[str, Placement]:
  """Placements by name: "cpu"; beside an accelerator, the first of `devices` (JAX's by default), "gpu" and "split" too.

  "gpu" is all on the accelerator, of whatever kind; "split" acts on the CPU and learns on the accelerator.
  """
  first = (jax.local_devices() if devices is None else devices)[0]
  try:
    cpu = jax.local_devices(backend="cpu")[0]
  except RuntimeError:  # JAX_PLATFORMS leaves it out.
    return {ACCELERATOR: Placement(first, first)}
  found = {CPU: Placement(cpu, cpu)}
  if first != cpu:
    found |= {ACCELERATOR: Placement(first, first), SPLIT: Placement(cpu, first)}
  return found


class PlacedBuilder(builders.Builder[Any, Any]):
  """Makes the components of another builder, each on its device."""

  def __init__(self, builder: builders.Builder[Any, Any], placement: Placement) -> None:
    self.config, self.backend = builder.config, builder.backend
    self._builder, self._placement = builder, placement

  def make_program(self, spec: specs.EnvironmentSpec) -> Any:
    return self._builder.make_program(spec)

  def make_experience(self, spec: specs.EnvironmentSpec, program: Any) -> experience.Experience:
    return self._builder.make_experience(spec, program)

  def extras_spec(self, spec: specs.EnvironmentSpec, program: Any) -> types.NestedSpec:
    return self._builder.extras_spec(spec, program)

  def make_learner(self, spec: specs.EnvironmentSpec, program: Any, inputs: builders.LearnerInputs) -> core.Learner:
    return _PlacedLearner(self._placement.learner, lambda: self._builder.make_learner(spec, program, inputs))

  def make_actor(self, spec: specs.EnvironmentSpec, program: Any, inputs: builders.ActorInputs) -> core.Actor:
    if self._placement.actor != self._placement.learner:
      inputs = dataclasses.replace(inputs, variables=_Moved(inputs.variables, self._placement.actor))
    return _PlacedActor(self._placement.actor, lambda: self._builder.make_actor(spec, program, inputs))

  def priorities(self, program: Any) -> Callable[[types.NestedArray, Any], Any] | None:
    return self._builder.priorities(program)

  def with_simulator(self, simulator: Any) -> "PlacedBuilder":
    return PlacedBuilder(self._builder.with_simulator(simulator), self._placement)


class _Placed(core.Saveable, Generic[Component]):
  """Another component, which computes on a device."""

  def __init__(self, device: jax.Device, make: Callable[[], Component]) -> None:
    self._device = device
    with jax.default_device(device):
      self._placed = make()

  def save(self) -> types.State:
    with jax.default_device(self._device):
      return self._placed.save()

  def restore(self, state: types.State) -> None:
    with jax.default_device(self._device):
      self._placed.restore(state)


class _PlacedLearner(_Placed[core.Learner], core.Learner):
  """Another learner, which computes on a device."""

  @property
  def finished(self) -> bool:  # type: ignore[override]
    return self._placed.finished

  def step(self) -> None:
    with jax.default_device(self._device):
      self._placed.step()

  def settle(self) -> None:
    self._placed.settle()

  def evaluate(self) -> Mapping[str, float]:
    with jax.default_device(self._device):
      return self._placed.evaluate()

  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    with jax.default_device(self._device):
      return self._placed.get_variables(names)


class _PlacedActor(_Placed[core.Actor], core.Actor):
  """Another actor, which computes on a device."""

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    with jax.default_device(self._device):
      return self._placed.select_action(observation)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    self._placed.observe_first(timestep)

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    self._placed.observe(action, next_timestep)

  def update(self, wait: bool = False) -> None:
    with jax.default_device(self._device):
      self._placed.update(wait)


class _Moved(core.VariableSource):
  """Another source, whose variables are brought to a device."""

  def __init__(self, source: core.VariableSource, device: jax.Device) -> None:
    self._source, self._device = source, device

  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    moved: list[types.NestedArray] = jax.device_put(self._source.get_variables(names), self._device)
    return moved


# What a placement costs.


def choose(
  builder: builders.Builder[Any, Any],
  spec: specs.EnvironmentSpec,
  num_envs: int,
  placements: Mapping[str, Placement],
  *,
  acts: bool = True,
) -> tuple[str, dict[str, float]]:
  """The name of the placement in which a step of the agent takes least, and what it takes in each.

    act + k (learn + publish),    k = N × learner steps for an environment step

  Args:
    builder: of the agent.
    spec: of the environment.
    num_envs: N.
    placements: by name, as `available` gives them.
    acts: whether anyone acts: not where it learns from a dataset alone.

  Returns:
    The name, and by name the seconds of a step in N environments, or without acting of a learner step.

  Raises:
    PluginError: acme-replay is not installed, from which a batch is taken.
  """
  program = builder.make_program(spec)
  described = builder.make_experience(spec, program)
  sample = example(described, builder.step_spec(spec, program))
  often = num_envs * learner_steps(described) if acts else 1.0
  seconds, costs = {}, {}
  for name, placement in placements.items():
    for device in placement:
      if device not in costs:
        costs[device] = _measure(PlacedBuilder(builder, Placement(device, device)), spec, num_envs, sample)
    learning, act = costs[placement.learner], costs[placement.actor].act if acts else 0.0
    publish = 0.0 if placement.actor == placement.learner else _publish(learning.params, placement.actor)
    # Parameters are taken once an update, however many steps that learned.
    seconds[name] = act + often * learning.learn + min(1.0, often) * publish
  return min(seconds, key=lambda name: seconds[name]), seconds


def learner_steps(described: experience.Experience) -> float:
  """Learner steps for an environment step, in the long run."""
  items = described.parts[described.online or ""] if isinstance(described, experience.Mixed) else described
  inserts = 1.0
  if isinstance(items, experience.Sequences):
    inserts /= items.period
  if isinstance(items, experience.Queue):
    return 1.0 / (items.length - 1) / items.batch_size
  ratio = described.samples_per_insert
  return 1.0 if ratio is None else inserts * float(ratio) / described.batch_size


def example(described: experience.Experience, step_spec: types.Step) -> replay.Sample:
  """A batch [B] as the agent's replay gives it, of steps that are all zero."""
  mixed = isinstance(described, experience.Mixed)
  items: Any = next(iter(described.parts.values())) if isinstance(described, experience.Mixed) else described
  batch_size, core_spec = described.batch_size, getattr(items, "core_spec", ())
  least = {"dataset": None, "batch_size": batch_size, "max_size": 2 * batch_size, "held_out": 0.0}
  if not isinstance(items, experience.Queue):
    least |= {"min_size": 1, "samples_per_insert": None}
  store = plugins.load_replay()(dataclasses.replace(items, **least), step_spec, 0)
  adder = store.adder()
  zeros = tree.map_structure(lambda leaf: np.zeros(leaf.shape, leaf.dtype), step_spec)
  state = tree.map_structure(lambda leaf: np.zeros((1, *leaf.shape), leaf.dtype), core_spec)
  adder.add_first(dm_env.restart(zeros.observation))
  step = dm_env.TimeStep(dm_env.StepType.MID, zeros.reward, zeros.discount, zeros.observation)
  while store.available() < batch_size:
    adder.add(zeros.action, step, zeros.extras, state)
  sample: replay.Sample = next(store.dataset())
  return sample._replace(table=np.zeros(batch_size, np.int32)) if mixed else sample


def _measure(
  builder: builders.Builder[Any, Any], spec: specs.EnvironmentSpec, num_envs: int, sample: replay.Sample
) -> Costs:
  """What the calls take where a builder places them."""
  program = builder.make_program(spec)
  learner = builder.make_learner(spec, program, builders.LearnerInputs(dataset=itertools.repeat(sample)))
  several = num_envs if num_envs > 1 else None
  actor = builder.make_actor(spec, program, builders.ActorInputs(variables=learner, num_envs=several))
  batch = networks.zeros(spec.observations, num_envs)
  observation = batch if several else tree.map_structure(lambda leaf: np.asarray(leaf)[0], batch)
  actor.observe_first(dm_env.restart(observation))

  def learn() -> None:
    learner.step()
    _wait(learner.get_variables([PARAMS]))

  act_seconds, learn_seconds = _time(lambda: actor.select_action(observation)), _time(learn)
  return Costs(act_seconds, learn_seconds, learner.get_variables([PARAMS]))


def _publish(params: types.NestedArray, device: jax.Device) -> float:
  """Seconds that parameters take to a device."""
  return _time(lambda: _wait(jax.device_put(params, device)))


def _wait(nest: types.NestedArray) -> None:
  """Until the arrays are computed."""
  for leaf in jax.tree.leaves(nest):
    leaf.block_until_ready()


def _time(call: Callable[[], Any]) -> float:
  """The median of some calls, in seconds, after one that compiles."""
  call()
  taken: list[float] = []
  while len(taken) < _CALLS and sum(taken) < _SECONDS:
    start = time.perf_counter()
    call()
    taken.append(time.perf_counter() - start)
  return statistics.median(taken)
