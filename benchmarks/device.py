"""DQN of Atari's size on the device that JAX finds: the learner beside one jitted step by hand, and the vector loop.

    python benchmarks/device.py [--batches 32 64 …] [--envs 16 64 …] [--repeats 5] [--out benchmarks/results]

Run by an interpreter that has our packages, and jax[cuda12] where the device is a GPU. The convolutions of Mnih et al.
2015 on uint8 [84, 84, 4], then 512 units; batches come from the embedded replay, which keeps each frame once. The limit
is the same step by hand, without replay: on a batch that lies on the device, and on one that the host passes each time.
Contenders take turns within a repeat; figures are medians. The host waits when its thread does not compute: one less
the thread's share of the wall time.
"""

import argparse
import pathlib
import sys
import time
from collections.abc import Callable

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
import optax

import acme
from acme import builders, loggers, specs
from acme_dqn import AGENT, DQN
from acme_replay import EmbeddedReplay

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE / "workers"))
import common  # noqa: E402
import ours  # noqa: E402

ACTIONS, DISCOUNT, TARGET_PERIOD, SIZE = 6, 0.99, 100, 10_000
SPEC = specs.EnvironmentSpec(
  observations=specs.BoundedArray((84, 84, 4), np.uint8, 0, 255),
  actions=specs.DiscreteArray(ACTIONS, np.int32),
  rewards=specs.Array((), np.float32),
  discounts=specs.BoundedArray((), np.float32, 0, 1),
)

Run = Callable[[int], None]  # takes so many steps, and waits for the last


def config(batch: int, sgd_steps_per_step: float = 0.25):
  """DQN as in `by_hand`; one SGD step every fourth environment step."""
  return ours.plain_config(
    double_q=True,
    max_gradient_norm=None,
    hidden_sizes=(512,),
    batch_size=batch,
    min_replay_size=1_000,
    max_replay_size=SIZE,
    samples_per_insert=batch * sgd_steps_per_step,
  )


def make_replay(experience, step_spec, seed=0):
  """The embedded replay, each frame kept once."""
  return EmbeddedReplay(experience, step_spec, seed, frame_stack=4)


class Frames:
  """N environments of noise, in consecutive frames, that cost next to nothing; episodes of 500 steps."""

  def __init__(self, num_envs: int) -> None:
    self.num_envs = num_envs
    self._stacks = common.transitions("image", 1_000)
    self._t = np.arange(num_envs) * 500 // num_envs  # Not all end at once.

  def reset(self) -> dm_env.TimeStep:
    return self._timestep(np.full(self.num_envs, int(dm_env.StepType.FIRST)))

  def step(self, action: np.ndarray) -> dm_env.TimeStep:
    ended = self._t >= 500
    self._t = np.where(ended, 0, self._t + 1)
    kind = np.where(ended, int(dm_env.StepType.FIRST), int(dm_env.StepType.MID))
    return self._timestep(np.where(self._t >= 500, int(dm_env.StepType.LAST), kind))

  def close(self) -> None:
    pass

  def _timestep(self, step_type: np.ndarray) -> dm_env.TimeStep:
    reward, discount = np.ones(self.num_envs, np.float32), np.ones(self.num_envs, np.float32)
    return dm_env.TimeStep(step_type, reward, discount, self._stacks[self._t])


def learner(batch: int) -> Run:
  """Our learner, fed by a full replay."""
  builder = AGENT.builder(config(batch, sgd_steps_per_step=1e9))
  program = builder.make_program(SPEC)
  replay = make_replay(builder.make_experience(SPEC, program), builder.step_spec(SPEC, program))
  adder = replay.adder()
  stacks = common.transitions("image", 2_000)
  while replay.info()["replay"].size < SIZE:
    adder.add_first(dm_env.restart(stacks[0]))
    for stack in stacks[1:]:
      adder.add(np.int32(1), dm_env.transition(np.float32(1), stack, np.float32(1)))
  learns = builder.make_learner(SPEC, program, builders.LearnerInputs(dataset=replay.dataset()))

  def run(steps: int) -> None:
    learns.run(steps)
    jax.block_until_ready(learns.get_variables(["policy"]))

  return run


def by_hand(batch: int, on_device: bool) -> Run:
  """The limit: one jitted step, on one batch that never changes."""
  random = np.random.default_rng(0)
  kernels = [((8, 8, 4, 32), 4), ((4, 4, 32, 64), 2), ((3, 3, 64, 64), 1)]
  shapes = [shape for shape, _ in kernels] + [(3136, 512), (512, ACTIONS)]
  params = [
    (jnp.asarray(random.normal(size=shape, scale=np.prod(shape[:-1]) ** -0.5), jnp.float32), jnp.zeros(shape[-1]))
    for shape in shapes
  ]
  optimizer = optax.adam(1e-3)

  def q_values(params, image):
    x = image.astype(jnp.float32) / 255
    for (w, b), (_, stride) in zip(params, kernels, strict=False):
      x = jax.lax.conv_general_dilated(x, w, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
      x = jax.nn.relu(x + b)
    (w1, b1), (w2, b2) = params[3:]
    return jax.nn.relu(x.reshape(len(x), -1) @ w1 + b1) @ w2 + b2

  @jax.jit
  def update(state, observation, action, reward, discount, next_observation):
    params, target_params, opt_state, steps = state

    def loss(params):
      q = jnp.take_along_axis(q_values(params, observation), action[:, None], axis=1)[:, 0]
      best = jnp.argmax(q_values(params, next_observation), axis=1)
      value = jnp.take_along_axis(q_values(target_params, next_observation), best[:, None], axis=1)[:, 0]
      target = jax.lax.stop_gradient(reward + DISCOUNT * discount * value)
      return jnp.mean(optax.huber_loss(q, target))

    updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state)
    params, steps = optax.apply_updates(params, updates), steps + 1
    target_params = optax.periodic_update(params, target_params, steps, TARGET_PERIOD)
    return params, target_params, opt_state, steps

  stacks = common.transitions("image", batch)
  ones = np.ones(batch, np.float32)
  sample = (stacks[:-1], random.integers(ACTIONS, size=batch, dtype=np.int32), ones, ones, stacks[1:])
  if on_device:
    sample = jax.device_put(sample)
  state = (params, params, optimizer.init(params), jnp.zeros((), jnp.int32))

  def run(steps: int) -> None:
    nonlocal state
    for _ in range(steps):
      state = update(state, *sample)
    jax.block_until_ready(state)

  return run


def vector_loop(num_envs: int, batch: int = 32) -> Run:
  """Our agent acting in `num_envs` environments and learning; it runs so many steps of each."""
  agent = DQN(SPEC, config=config(batch), seed=0, num_envs=num_envs, replay=make_replay)
  loop = acme.VectorEnvironmentLoop(Frames(num_envs), agent, logger=loggers.NullLogger())
  loop.run(num_steps=1_500)  # Past min_replay_size.

  def run(steps: int) -> None:
    loop.run(num_steps=steps * num_envs)
    jax.block_until_ready(agent.get_variables(["policy"]))

  return run


def measure(run: Run, seconds: float) -> tuple[float, float]:
  """Steps a second, and the share of the time in which the host's thread waits."""
  run(2)
  start = time.perf_counter()
  run(8)
  steps = max(8, int(8 * seconds / (time.perf_counter() - start)))
  start, computed = time.perf_counter(), time.thread_time()
  run(steps)
  seconds = time.perf_counter() - start
  return steps / seconds, max(0.0, 1 - (time.thread_time() - computed) / seconds)


def interleave(runs: dict[str, Run], repeats: int, seconds: float) -> dict[str, np.ndarray]:
  """Medians by contender, [steps a second, share waited], of turns taken in rotation."""
  names = list(runs)
  figures: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
  for repeat in range(repeats):
    shift = repeat % len(names)
    for name in names[shift:] + names[:shift]:
      figures[name].append(measure(runs[name], seconds))
  return {name: np.median(values, axis=0) for name, values in figures.items()}


def main() -> None:
  """Measures, and writes the table."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--batches", type=int, nargs="*", default=[32, 64, 128, 256, 512, 1024])
  parser.add_argument("--envs", type=int, nargs="*", default=[16, 64, 256])
  parser.add_argument("--repeats", type=int, default=5)
  parser.add_argument("--seconds", type=float, default=2.0, help="about how long each turn takes")
  parser.add_argument("--out", type=pathlib.Path, default=HERE / "results")
  options = parser.parse_args()
  device = jax.devices()[0]
  lines = [
    f"# DQN of Atari's size on {device.device_kind} ({device.platform})",
    "",
    f"`python benchmarks/device.py`, JAX {jax.__version__}; medians of {options.repeats} interleaved repeats.",
    "",
    "| batch | our learner, SGD steps/s | by hand, batch on the device | ratio | by hand, batch from the host | ratio "
    "| host waits |",
    "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
  ]
  for batch in options.batches:
    runs = {"ours": learner(batch), "device": by_hand(batch, True), "host": by_hand(batch, False)}
    result = interleave(runs, options.repeats, options.seconds)
    (speed, waits), (limit, _), (passed, _) = result["ours"], result["device"], result["host"]
    lines.append(
      f"| {batch} | {speed:,.0f} | {limit:,.0f} | {speed / limit:.2f} | {passed:,.0f} | {speed / passed:.2f} "
      f"| {waits:.0%} |"
    )
    print(lines[-1], flush=True)
  lines += [
    "",
    "| environments | environment steps/s | SGD steps/s, batch 32 | host waits |",
    "| ---: | ---: | ---: | ---: |",
  ]
  for num_envs in options.envs:
    speed, waits = interleave({"loop": vector_loop(num_envs)}, options.repeats, options.seconds)["loop"]
    lines.append(f"| {num_envs} | {speed * num_envs:,.0f} | {speed * num_envs / 4:,.0f} | {waits:.0%} |")
    print(lines[-1], flush=True)
  (options.out / f"device-{device.platform}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
  main()
