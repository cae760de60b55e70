"""Agents through bsuite by `acme bsuite`: writes their scores side by side, benchmarks/results/bsuite.md and a picture.

  python benchmarks/bsuite_scores.py                   # all agents on the suite's testing ids; goes on where it was
  python benchmarks/bsuite_scores.py dqn --ids all --jobs 16
  python benchmarks/bsuite_scores.py --write           # writes the page anew from the runs there are

Runs lie in runs/bsuite/AGENT. BC, DQfD and R2D3 need demonstrations, of which the suite has none.
"""

import argparse
import pathlib
import shlex
import subprocess
import sys

import numpy as np
from learning import one_core

from acme_experiments import bsuite

AGENTS = {"dqn": [], "r2d2": [], "impala": [], "mpo": [], "dmpo": [], "mcts": []}  # With options of `acme bsuite`.
RUNS = pathlib.Path("runs", "bsuite")
OUT = pathlib.Path(__file__).parent / "results"
HEAD = """# bsuite

Written by `python benchmarks/bsuite_scores.py`. Scores as [bsuite](https://arxiv.org/abs/1908.03568) defines them: from
0, as good as chance, to 1; of one run of each id, with the agent's default config. *: of some ids not all episodes; –:
none.
"""


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("agents", nargs="*", metavar="AGENT", help=f"of {', '.join(AGENTS)}; by default all")
  parser.add_argument("--ids", nargs="+", default=["testing"], help="as for `acme bsuite`, of a run that begins")
  parser.add_argument("--jobs", default="1", help="ids at once")
  parser.add_argument("--write", action="store_true", help="run nothing")
  arguments = parser.parse_args()
  for agent in [] if arguments.write else arguments.agents or AGENTS:
    out = RUNS / agent
    command = [*command_of(agent), "--ids", *arguments.ids, "--out", str(out)]
    if bsuite.is_bsuite(out):
      command = ["acme", "resume", str(out)]
    code = subprocess.run([*command, "--jobs", arguments.jobs], env=one_core(), check=False).returncode
    if code in (129, 130, 143):
      sys.exit(code)  # Stopped, and saved.
  agents = [bsuite.score(RUNS / agent) for agent in AGENTS if bsuite.is_bsuite(RUNS / agent)]
  if not agents:
    sys.exit(f"There are no runs in {RUNS}: leave out --write.")
  write(agents)


def command_of(agent: str) -> list[str]:
  return ["acme", "bsuite", agent, *AGENTS[agent]]


def write(agents: list[bsuite.Scores]) -> None:
  """Writes the page and the radar plot."""
  experiments = sorted({name for scores in agents for name in scores.experiments})
  rows = {name: [cell(scores, name) for scores in agents] for name in experiments}
  means = {
    f"*mean of {tag.replace('_', ' ')}*": ["–" if np.isnan(s.tags[tag]) else f"{s.tags[tag]:.2f}" for s in agents]
    for tag in agents[0].tags
  }
  head = f"| | {' | '.join(scores.agent for scores in agents)} |\n| --- |{' ---: |' * len(agents)}"
  lines = [f"| {name} | {' | '.join(cells)} |" for name, cells in (rows | means).items()]
  commands = [f"    {shlex.join(command_of(scores.agent))} --ids …" for scores in agents]
  text = [HEAD, head, *lines, "", "![Radar plot](bsuite.png)", "", *commands]
  (OUT / "bsuite.md").write_text("\n".join(text) + "\n")
  bsuite.draw(OUT / "bsuite.png", agents)


def cell(scores: bsuite.Scores, experiment: str) -> str:
  found = scores.experiments.get(experiment)
  return "–" if found is None else f"{found.score:.2f}{'' if found.finished else '*'}"


if __name__ == "__main__":
  main()
