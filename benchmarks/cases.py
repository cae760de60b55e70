"""What is measured, by whom, and the bars."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Contender:
  """A worker, the environment it runs in, and its arguments."""

  peer: str  # "ours" for the interpreter that runs speed.py, else the name of a peer's environment
  script: str  # in workers/
  arguments: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Row:
  """A line of the table: one contender's figure beside another's, or beside a number.

  Attributes:
    what: what is measured.
    unit: of the figure.
    ours: (contender, metric).
    peer: (contender, metric), or a number to reach.
    bar: the least ratio ours / peer, or the greatest where `lower`; None where there is no bar.
    lower: whether less is better.
  """

  what: str
  unit: str
  ours: tuple[str, str]
  peer: tuple[str, str] | float
  bar: float | None = None
  lower: bool = False


@dataclasses.dataclass(frozen=True)
class Group:
  """Contenders that are compared, so run one right after the other, and the lines they make."""

  contenders: dict[str, Contender]
  rows: tuple[Row, ...]


def _dqn(every: int) -> Group:
  arguments = ("--every", str(every))
  # SGD steps, not environment steps, take the time: about as many in each.
  steps = ("--steps", str(1000 if every == 1 else 4000))
  more = ("--steps", str(3000 if every == 1 else 12000))
  speed = "steps_per_second"
  learns = "every step" if every == 1 else f"every {every}th step"
  what = f"DQN on CartPole, 64-64, batch 64, one SGD step {learns}"
  sbx = ("--library", "sbx")
  return Group(
    {
      "ours": Contender("ours", "dqn_ours.py", (*arguments, *more)),
      "script by hand": Contender("ours", "dqn_script.py", (*arguments, *more)),
      "script, JAX's own dispatch": Contender("ours", "dqn_script.py", (*arguments, *more, "--default-dispatch")),
      "SB3": Contender("sb3", "dqn_sb3.py", (*arguments, *steps)),
      "SBX": Contender("sbx", "dqn_sb3.py", (*arguments, *steps, *sbx)),
    },
    (
      Row(what, "steps/s", ("ours", speed), ("SB3", speed), 2.5),
      Row(what, "steps/s", ("ours", speed), ("script by hand", speed), 0.8),
      Row(what, "steps/s", ("ours", speed), ("script, JAX's own dispatch", speed)),
      Row(what, "steps/s", ("ours", speed), ("SBX", speed)),
    ),
  )


def _prioritized() -> Group:
  speed = "steps_per_second"
  return Group(
    {
      "prioritised, 5-step": Contender("ours", "dqn_ours.py", ("--config", "prioritized")),
      "uniform, 1-step": Contender("ours", "dqn_ours.py", ("--config", "plain")),
      "by default": Contender("ours", "dqn_ours.py", ("--config", "default")),
      "uniform, 1-step, else by default": Contender("ours", "dqn_ours.py", ("--config", "default-uniform")),
    },
    (
      Row(
        "DQN prioritised, double, 5-step; else as in the first line",
        "steps/s", ("prioritised, 5-step", speed), ("uniform, 1-step", speed), 0.7,
      ),
      Row(
        "DQN's default config (dueling 256-256, batch 256, one SGD step every 8th step)",
        "steps/s", ("by default", speed), ("uniform, 1-step, else by default", speed), 0.7,
      ),
    ),
  )  # fmt: skip


def _acting() -> Group:
  speed = "steps_per_second"
  sixteen = ("--envs", "16")
  return Group(
    {
      "ours": Contender("ours", "act_ours.py"),
      "SB3": Contender("sb3", "act_sb3.py"),
      "ours, vector environment": Contender("ours", "act_ours.py", sixteen),
      "ours, list": Contender("ours", "act_ours.py", (*sixteen, "--listed", "--chunk", "200")),
      "SB3, 16": Contender("sb3", "act_sb3.py", sixteen),
    },
    (
      Row("actor alone on CartPole, 256-256, ε-greedy", "steps/s", ("ours", speed), ("SB3", speed), 2.5),
      Row(
        "the same, 16 environments, Gymnasium's vector environment",
        "steps/s", ("ours, vector environment", speed), ("ours", speed), 6.0,
      ),
      Row(
        "the same, 16 environments, Gymnasium's vector environment",
        "steps/s", ("ours, vector environment", speed), ("SB3, 16", speed), 1.0,
      ),
      Row("the same, a list of 16 environments", "steps/s", ("ours, list", speed), ("ours", speed)),
      Row("the same, a list of 16 environments", "steps/s", ("ours, list", speed), ("SB3, 16", speed), 1.0),
    ),
  )  # fmt: skip


def _learner() -> Group:
  speed = "steps_per_second"
  return Group(
    {
      "ours": Contender("ours", "learner_ours.py"),
      "jitted step by hand": Contender("ours", "learner_script.py"),
      "ours, prioritised": Contender("ours", "learner_ours.py", ("--prioritized",)),
    },
    (
      Row(
        "learner fed by the embedded replay, 256-256, batch 256",
        "SGD steps/s", ("ours", speed), ("jitted step by hand", speed), 0.9,
      ),
      Row("the same, prioritised", "SGD steps/s", ("ours, prioritised", speed), ("jitted step by hand", speed)),
    ),
  )  # fmt: skip


def _replay(kind: str) -> Group:
  name = "float32[8]" if kind == "vector" else "uint8[84,84,4]"
  arguments = ("--kind", kind, "--size", "100000" if kind == "vector" else "5000")
  inserts, blocks, samples = "inserts_per_second", "block_inserts_per_second", "samples_per_second"
  prioritized, size = "prioritized_samples_per_second", "bytes_per_transition"
  vector = kind == "vector"
  rows = [
    Row(f"{name}: samples, batch 256", "samples/s", ("ours", samples), ("SB3", samples), 1.0),
    Row(f"{name}: samples, batch 256", "samples/s", ("ours", samples), ("NumPy ring", samples)),
    Row(f"{name}: samples, batch 256", "samples/s", ("ours", samples), ("Flashbax", samples)),
    Row(
      f"{name}: prioritised samples with updates, beside uniform",
      "samples/s", ("ours", prioritized), ("ours", samples), 0.4,
    ),
    Row(f"{name}: inserts, 5-step adder", "inserts/s", ("ours", inserts), ("SB3", inserts)),
    Row(f"{name}: inserts, 5-step adder", "inserts/s", ("ours", inserts), ("NumPy ring", inserts)),
    Row(f"{name}: inserts, 5-step adder", "inserts/s", ("ours", inserts), ("Flashbax", inserts)),
    Row(f"{name}: memory of a transition", "bytes", ("ours", size), ("SB3", size), lower=True),
  ]  # fmt: skip
  if vector:
    rows += [
      Row(f"{name}: inserts, 5-step adder", "inserts/s", ("ours", inserts), 60_000, 1.0),
      Row(f"{name}: inserts in blocks of 256", "inserts/s", ("ours", blocks), 1_000_000, 1.0),
      Row(f"{name}: inserts in blocks of 256", "inserts/s", ("ours", blocks), ("Flashbax", blocks)),
    ]
  else:
    rows.append(Row(f"{name}: memory of a transition, beside 84×84", "bytes", ("ours", size), 84 * 84, 1.1, lower=True))
  contenders = {
    "ours": Contender("ours", "replay_ours.py", arguments),
    "SB3": Contender("sb3", "replay_sb3.py", arguments),
    "Flashbax": Contender("flashbax", "replay_flashbax.py", arguments),
    "NumPy ring": Contender("ours", "replay_numpy.py", arguments),
  }
  return Group(contenders, tuple(rows))


def _d4pg() -> Group:
  speed, sgd = "steps_per_second", "sgd_steps_per_second"
  return Group(
    {
      "ours": Contender("ours", "pendulum_ours.py"),
      "SB3's DDPG": Contender("sb3", "ddpg_sb3.py"),
      "ours, TensorFlow": Contender("tf", "pendulum_ours.py", ("--backend", "tf")),
    },
    (
      Row(
        "D4PG on Pendulum, 256-256-256, batch 256, one SGD step every 8th step",
        "steps/s", ("ours", speed), ("SB3's DDPG", speed), 1.5,
      ),
      Row("the same, its learner alone", "SGD steps/s", ("ours", sgd), ("ours, TensorFlow", sgd)),
      Row("the same in TensorFlow", "steps/s", ("ours, TensorFlow", speed), ("SB3's DDPG", speed)),
    ),
  )  # fmt: skip


def _ddpg() -> Group:
  speed = "steps_per_second"
  return Group(
    {"ours": Contender("ours", "pendulum_ours.py", ("--agent", "ddpg")), "SB3": Contender("sb3", "ddpg_sb3.py")},
    (
      Row(
        "DDPG on Pendulum, 256-256-256, batch 256, one SGD step every 8th step",
        "steps/s", ("ours", speed), ("SB3", speed), 1.5,
      ),
    ),
  )  # fmt: skip


def _impala() -> Group:
  speed = "steps_per_second"
  what = "IMPALA on CartPole, 16 environments, 64-64, 80 transitions an SGD step, each learned from once"
  return Group(
    {
      "ours": Contender("ours", "impala_ours.py"),
      "SB3's A2C": Contender("sb3", "actor_critic_sb3.py"),
      "SB3's PPO": Contender("sb3", "actor_critic_sb3.py", ("--agent", "ppo")),
    },
    tuple(Row(what, "steps/s", ("ours", speed), (peer, speed), 2.0) for peer in ("SB3's A2C", "SB3's PPO")),
  )


def _r2d2() -> Group:
  speed = "sequences_per_second"
  return Group(
    {"ours": Contender("ours", "r2d2_ours.py"), "jitted step by hand": Contender("ours", "r2d2_script.py")},
    (
      Row(
        "R2D2's learner fed by the embedded replay, LSTM 256, batch 32 of 80 steps",
        "sequences/s", ("ours", speed), ("jitted step by hand", speed), 0.9,
      ),
    ),
  )  # fmt: skip


def _ray_act(envs: int) -> Group:
  speed, arguments = "steps_per_second", ("--envs", str(envs))
  each = "one environment" if envs == 1 else f"{envs} environments"
  return Group(
    {
      "ours": Contender("ours", "ray_act_ours.py", arguments),
      "RLlib": Contender("rllib", "ray_act_rllib.py", arguments),
    },
    (
      Row(
        f"2 actors on Ray alone, CartPole, {each} of each, 64-64, ε-greedy, 64 steps a message",
        "steps/s", ("ours", speed), ("RLlib", speed), 1.0,
      ),
    ),
  )  # fmt: skip


def _ray_impala() -> Group:
  speed = "transitions_per_second"
  what = "IMPALA on Ray on CartPole, 2 actors of 5 environments, 64-64, batches of 10 sequences of 50 transitions"
  return Group(
    {
      "ours": Contender("ours", "ray_impala_ours.py"),
      "RLlib": Contender("rllib", "ray_impala_rllib.py"),
      "RLlib, learning in the driver": Contender("rllib", "ray_impala_rllib.py", ("--learners", "0")),
    },
    tuple(
      Row(what, "transitions/s", ("ours", speed), (peer, speed), 1.0)
      for peer in ("RLlib", "RLlib, learning in the driver")
    ),
  )


GROUPS = {
  "dqn": _dqn(1),
  "dqn4": _dqn(4),
  "prioritized": _prioritized(),
  "acting": _acting(),
  "learner": _learner(),
  "d4pg": _d4pg(),
  "ddpg": _ddpg(),
  "impala": _impala(),
  "r2d2": _r2d2(),
  "ray-act": _ray_act(1),
  "ray-act-8": _ray_act(8),
  "ray-impala": _ray_impala(),
  "replay-vector": _replay("vector"),
  "replay-image": _replay("image"),
}
