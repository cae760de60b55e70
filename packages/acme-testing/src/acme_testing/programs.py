"""Whether an agent's program in JAX is what it says: pure functions that trace, alone, many at once, and in a loop.

JAX is imported only where there is such a program.
"""

import functools
import hashlib
import re
import types as python_types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tree

from acme import replay, types

_NUM_ENVS = 2


_FIELDS = ("init", "update", "params", "variables", "behaviour", "evaluation", "space")


def is_program(program: Any) -> bool:
  """Whether it has the functions of `acme_jax.program.Program`; one of TensorFlow's makes its parameters, too."""
  return all(hasattr(program, name) for name in _FIELDS) and not hasattr(program, "make_params")


def check(program: Any, sample: replay.Sample, step_spec: types.Step) -> None:
  """Traces `init`, `update`, `evaluate` and both policies, with inputs that have shapes and no values.

  Args:
    program: an `acme_jax.program.Program`.
    sample: a batch, of which only the shapes matter.
    step_spec: the spec of one stored step.

  Raises:
    AssertionError: one does not trace, gives something else the second time, or leaves a trace behind; or an update
      gives other dtypes than it took, where JAX has 64 bits.
  """
  before = python_state(program)
  for name, function, inputs, loop, loop_inputs in _functions(program, sample, step_spec):
    _trace(name, function, inputs, loop, loop_inputs)
  _check_dtypes(program, _batch(sample))
  if before != python_state(program):
    raise AssertionError("Tracing changed what the program's functions keep: a pure function keeps nothing.")


def text(program: Any, sample: replay.Sample, step_spec: types.Step) -> str:
  """What a program computes, with all its constants, by tracing alone; arguments as those of `check`.

  Programs of one text do the same; those of two may do the same too, where one computes what nobody uses.
  """
  import jax

  parts = []
  for name, function, inputs, _, _ in _functions(program, sample, step_spec):
    traced = jax.make_jaxpr(function)(*inputs)
    constants = [hashlib.sha256(np.asarray(x).tobytes()).hexdigest() for x in traced.consts]
    parts += [name, _text(traced), *constants]
  return "\n".join(parts)


def _functions(program: Any, sample: replay.Sample, step_spec: types.Step) -> Iterator[tuple[Any, ...]]:
  """A program's functions: name, function, inputs without values, and a loop around it with its inputs."""
  import jax

  from acme_jax import exploration
  from acme_jax import program as programs

  key = jax.eval_shape(jax.random.PRNGKey, 0)
  state = jax.eval_shape(program.init, key)
  yield "init", program.init, (key,), lambda keys: jax.lax.map(program.init, keys), (_stack(key),)

  batch = _batch(sample)

  def learn(state: Any, batch: Any) -> Any:
    state, *given = program.update(state, batch)
    return state, given

  yield "update", learn, (state, batch), functools.partial(jax.lax.scan, learn), (state, _stack(batch))
  evaluate = program.evaluate
  if evaluate is not None:

    def each(state: Any, batches: Any) -> Any:
      return jax.lax.map(functools.partial(evaluate, state), batches)

    yield "evaluate", evaluate, (state, batch), each, (state, _stack(batch))

  step = _shapes(tree.map_structure(lambda leaf: np.zeros((_NUM_ENVS, *leaf.shape), leaf.dtype), step_spec))
  params = jax.eval_shape(program.params, state)
  steps = jax.ShapeDtypeStruct((), np.int32)
  for name, policy in (("behaviour", program.behaviour), ("evaluation", program.evaluation)):
    if policy is None:
      continue
    core = jax.eval_shape(lambda params, policy=policy: policy.initial(params, _NUM_ENVS), params)
    noise = () if policy.explore is None else _shapes(policy.explore.initial(_NUM_ENVS))

    def act(params: Any, key: Any, steps: Any, step: Any, carry: Any, policy: Any = policy) -> Any:
      streams = exploration.Streams(0, _NUM_ENVS)
      done = programs.execute(policy, program.space, params, key, steps, streams, step, *carry)
      return (done.core, done.noise), (done.action, done.extras)

    def loop(params: Any, key: Any, step: Any, carry: Any, act: Any = act) -> Any:
      return jax.lax.scan(lambda carry, given: act(params, key, *given, carry), carry, (np.arange(2), step))

    inputs = (params, key, steps, step, (core, noise))
    yield f"act of the {name}", act, inputs, loop, (params, key, _stack(step), (core, noise))


def _batch(sample: replay.Sample) -> replay.Sample:
  """The shapes of what an update sees: neither keys nor the table's size, and 32 bits."""
  seen = sample._replace(keys=(), probabilities=np.float32(sample.probabilities), table_size=())  # type: ignore[arg-type]
  shapes: replay.Sample = _shapes(seen)
  return shapes


def _check_dtypes(program: Any, batch: replay.Sample) -> None:
  """Raises AssertionError where an update cannot follow another one under `jax_enable_x64`."""
  import jax
  from jax import experimental

  holds_it: Any = jax if hasattr(jax, "enable_x64") else experimental  # Where older versions had it.
  with holds_it.enable_x64(True):
    state = jax.eval_shape(program.init, jax.eval_shape(jax.random.PRNGKey, 0))
    try:
      new = jax.eval_shape(lambda state, batch: program.update(state, batch)[0], state, batch)
    except Exception as error:
      raise AssertionError(f"With jax_enable_x64 update does not trace: {error!r}") from error
  leaves = jax.tree_util.tree_flatten_with_path(state)[0]
  for (path, old), leaf in zip(leaves, jax.tree.leaves(new), strict=True):
    if old.dtype != leaf.dtype:
      name = jax.tree_util.keystr(path)
      raise AssertionError(f"With jax_enable_x64 update makes {leaf.dtype} of the state's {name}, {old.dtype} before.")


def _trace(name: str, function: Callable[..., Any], inputs: Any, loop: Callable[..., Any], loop_inputs: Any) -> None:
  """Traces a function twice, then many loops of it at once, compiled."""
  import jax

  def once(*inputs: Any) -> Any:
    return function(*inputs)

  def again(*inputs: Any) -> Any:  # Another function, as JAX remembers what it has traced.
    return function(*inputs)

  try:
    with jax.checking_leaks():
      one, other = (jax.make_jaxpr(each)(*inputs) for each in (once, again))
    jax.eval_shape(jax.jit(jax.vmap(loop)), *map(_stack, loop_inputs))
  except Exception as error:
    raise AssertionError(f"{name} does not trace with inputs that have no values: {error!r}") from error
  if _text(one) != _text(other):
    raise AssertionError(f"{name}: traced twice, it computed two things; it depends on something beside its inputs.")


def _text(jaxpr: Any) -> str:
  return re.sub("0x[0-9a-f]+", "", str(jaxpr))


def _shapes(nest: Any) -> Any:
  import jax

  def shape(x: Any) -> Any:
    return jax.ShapeDtypeStruct(np.shape(x), jax.dtypes.canonicalize_dtype(np.result_type(x)))

  return jax.tree.map(shape, nest)


def _stack(nest: Any) -> Any:
  import jax

  return jax.tree.map(lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype), nest)


def python_state(value: Any, seen: set[int] | None = None) -> str:
  """What functions keep between calls: the numbers, strings and arrays in their closures, and in what lies there."""
  seen = set() if seen is None else seen
  if isinstance(value, bool | int | float | str | None):
    return repr(value)
  if isinstance(value, np.ndarray | np.generic):
    return f"{value.dtype}{value.tolist()}" if value.size < 1_000 else str(value.shape)
  if id(value) in seen or isinstance(value, type | python_types.ModuleType):
    return ""
  seen.add(id(value))
  # What lies in JAX's own objects, such as compiled functions, comes and goes.
  owned = type(value).__module__.partition(".")[0] in ("jax", "jaxlib")
  inside: list[Any] = [] if owned else list(getattr(value, "__dict__", {}).values())
  if isinstance(value, python_types.FunctionType):
    inside += [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
  elif isinstance(value, python_types.MethodType):
    inside += [value.__self__, value.__func__]
  elif isinstance(value, functools.partial):
    inside += [value.func, *value.args, *value.keywords.values()]
  elif isinstance(value, dict):
    inside += [*value, *value.values()]
  elif isinstance(value, list | tuple | set):
    inside += list(value)
  return f"{type(value).__name__}[{' '.join(python_state(each, seen) for each in inside)}]"


def _filled(cell: Any) -> bool:
  try:
    cell.cell_contents  # noqa: B018
  except ValueError:
    return False
  return True
