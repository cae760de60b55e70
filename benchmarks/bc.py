"""Clones experts over several seeds, and evaluates both on the same starts: writes benchmarks/results/bc.md.

  python benchmarks/bc.py                                   # trains the experts that are missing, in runs/bc
  python benchmarks/bc.py --expert cartpole=runs/my-dqn     # an expert's run directory, of one seed
  python benchmarks/bc.py --only pendulum --seeds 0-9 --backend tf

An expert plays by its best parameters, and whole episodes are recorded. What is in runs/bc already is taken as it is:
after an interruption the same command goes on.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
from learning import one_core
from seeds import seeds

from acme_experiments import RunDirectory, components, stores
from acme_experiments.statistics import interval

RUNS = pathlib.Path("runs", "bc")
OUT = pathlib.Path(__file__).parent / "results" / "bc.md"
STARTS = 100  # Evaluation episodes, …
SEED = 20_000  # … which follow from this, for experts and clones alike.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
  """What is cloned, and how."""

  environment: str
  expert: str  # as `acme run` takes it
  episodes: int  # that are recorded
  clone: str
  bar: str  # in words
  least: float  # added to …
  share: float  # … this share of the expert's return.


CASES = {
  "cartpole": Case(
    environment="gym:CartPole-v1",
    expert="dqn --steps 50000 --seed 1000",
    episodes=20,
    clone="--steps 5000 --eval-every 250",
    bar="95 % of the expert's return",
    least=0.0,
    share=0.95,
  ),
  "pendulum": Case(
    environment="gym:Pendulum-v1",
    expert="ddpg --steps 20000 --seed 1000",
    episodes=50,
    clone="--steps 20000 --eval-every 1000",
    bar="within 15 of the expert's return",
    least=-15.0,
    share=1.0,
  ),
}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--only", default="", help="a part of the names of cases: cartpole, pendulum")
  parser.add_argument("--expert", action="append", default=[], metavar="CASE=DIR", help="an expert's run directory")
  parser.add_argument("--seeds", type=seeds, default="0-4", help="such as 0-4")
  parser.add_argument("--backend", default="jax")
  arguments = parser.parse_args()
  experts = dict(given.split("=", 1) for given in arguments.expert)
  lines = [
    "# Behavioural cloning",
    "",
    "Written by `python benchmarks/bc.py`. Each return is a mean over the same 100 starts, of expert and clones, whose",
    "parameters the held-out loss chose. No seed is left out. IQM is the mean of the middle half of the seeds, with a",
    "bootstrap interval of 95 %.",
    "",
    "| environment | expert | episodes | expert's return | clones by seed | IQM | interval | bar | at the bar |",
    "| --- | --- | ---: | ---: | --- | ---: | --- | --- | ---: |",
  ]
  for name, case in CASES.items():
    if arguments.only in name:
      directory = pathlib.Path(experts.get(name, RUNS / f"{name}-expert"))
      lines.append(row(case, *clone(name, case, directory, arguments.seeds, arguments.backend)))
      print(lines[-1], flush=True)
  OUT.parent.mkdir(parents=True, exist_ok=True)
  OUT.with_stem("bc" if arguments.backend == "jax" else f"bc-{arguments.backend}").write_text("\n".join(lines) + "\n")


def clone(name: str, case: Case, expert: pathlib.Path, numbers: range, backend: str) -> tuple[float, list[float]]:
  """Trains what is missing, and returns the expert's return and those of the clones."""
  run(expert, "run", *case.expert.split()[:1], case.environment, *case.expert.split()[1:])
  dataset = RUNS / f"{name}-{expert.name}-{case.episodes}"
  if not (dataset / "dataset.json").exists():
    acme("record", str(expert), "--which", "best", "--episodes", str(case.episodes), "--out", str(dataset))
  returns = []
  for seed in numbers:
    out = RUNS / f"{dataset.name}-{backend}-{seed}"
    options = [*case.clone.split(), "--seed", str(seed), "--backend", backend]
    run(out, "run", "bc", "--dataset", str(dataset), *options)  # Without the environment.
    returns.append(evaluate(out, case.environment))
    print(f"{name}, seed {seed}: {returns[-1]:.4g}", flush=True)
  return evaluate(expert, case.environment), returns


def run(out: pathlib.Path, *command: str) -> None:
  """Runs a command that makes a run directory, or goes on with it, unless it is over."""
  if (out / "summary.json").exists():
    return
  acme(*(("resume", str(out)) if (out / "config.json").exists() else (*command, "--out", str(out))), "--quiet")


def acme(*command: str) -> None:
  done = subprocess.run(["acme", *command], env=one_core(), check=False)
  if done.returncode:
    sys.exit(done.returncode)


def evaluate(path: pathlib.Path, environment: str) -> float:
  """The mean return of a run's best parameters over the starts."""
  found = path / f"returns-{SEED}.json"
  if not found.exists():
    directory = RunDirectory(path)
    experiment = dataclasses.replace(
      directory.read_experiment(), environment=environment, replay=stores.NOTHING, dataset=None
    )
    checkpoint = directory.load_checkpoint("best")
    with contextlib.closing(components.Components(experiment)) as parts:
      parts.agent.learner.restore(checkpoint.state["agent"]["learner"])
      assert parts.evaluator is not None
      results = dataclasses.replace(parts.evaluator, seed=SEED).run(0, STARTS)
    found.write_text(json.dumps([float(result["episode_return"]) for result in results]))
  return float(np.mean(json.loads(found.read_text())))


def row(case: Case, expert: float, returns: list[float]) -> str:
  """A line of the table."""
  iqm, low, high = interval(np.array(returns))
  bar = case.share * expert + case.least
  each = ", ".join(f"{value:.4g}" for value in returns)
  reached = sum(value >= bar for value in returns)
  return (
    f"| {case.environment} | {case.expert.split()[0]} | {case.episodes} | {expert:.4g} | {each} | {iqm:.4g} | "
    f"{low:.4g} to {high:.4g} | {case.bar}: {bar:.4g} | {reached} of {len(returns)} |"
  )


if __name__ == "__main__":
  main()
