"""Measures speed beside other libraries and beside code written by hand.

    python benchmarks/make_peers.py DIR
    python benchmarks/speed.py --peers DIR [--repeats 5] [--only [NAME…]] [--out benchmarks/results]
    python benchmarks/speed.py --against COMMIT [--pairs 15] [--out benchmarks/results]

Run by an interpreter that has our packages, gymnasium and matplotlib. Each measurement is a process of its own, in its
contender's environment, one at a time. Those compared run right after one another, in an order that is rotated from
repeat to repeat. Figures are medians; the ratio's quartiles are those of the repeats' own ratios.

Threads: each contender may use every core, but a single operation one thread: OMP_NUM_THREADS=1 and its like for NumPy
and PyTorch, --xla_cpu_multi_thread_eigen=false for JAX. Ours, and the limits written by hand, have JAX compute in the
thread that asks (jax_cpu_enable_async_dispatch off), as `acme run` does; the script is measured as JAX comes, too.
The learner without an actor and its limit have JAX as it comes: nothing waits for their results.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import against
import numpy as np
from cases import GROUPS, Contender, Row

HERE = pathlib.Path(__file__).parent
THREADS = {
  "OMP_NUM_THREADS": "1",
  "OPENBLAS_NUM_THREADS": "1",
  "MKL_NUM_THREADS": "1",
  "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
  "JAX_PLATFORMS": "cpu",
}

Runs = dict[str, list[dict[str, float]]]  # by contender, a measurement for each repeat


def measure(contender: Contender, peers: pathlib.Path) -> dict[str, float]:
  """Runs one worker."""
  python = sys.executable if contender.peer == "ours" else str(peers.resolve() / contender.peer / "bin" / "python")
  command = [python, str(HERE / "workers" / contender.script), *contender.arguments]
  result = subprocess.run(command, env=os.environ | THREADS, capture_output=True, text=True, timeout=600)
  if result.returncode:
    raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-3000:]}")
  return json.loads(result.stdout.splitlines()[-1])


def run_groups(names: list[str], repeats: int, peers: pathlib.Path) -> dict[str, Runs]:
  """Measures every group, each of its contenders once a repeat."""
  runs: dict[str, Runs] = {name: {contender: [] for contender in GROUPS[name].contenders} for name in names}
  for repeat in range(repeats):
    for name in names:
      contenders = list(GROUPS[name].contenders.items())
      shift = repeat % len(contenders)
      for contender, worker in contenders[shift:] + contenders[:shift]:
        start = time.perf_counter()
        metrics = measure(worker, peers)
        runs[name][contender].append(metrics)
        shown = ", ".join(f"{key} {value:,.0f}" for key, value in metrics.items() if value and key != "cores")
        print(f"{repeat + 1}/{repeats} {name}, {contender}: {shown} ({time.perf_counter() - start:.0f} s)", flush=True)
  return runs


def summarize(row: Row, runs: Runs) -> dict:
  """A row of the table as numbers: the medians, and the median and quartiles of the repeats' ratios."""
  ours = np.array([metrics[row.ours[1]] for metrics in runs[row.ours[0]]])
  if isinstance(row.peer, tuple):
    peer = np.array([metrics[row.peer[1]] for metrics in runs[row.peer[0]]])
    name = row.peer[0]
  else:
    peer = np.full(len(ours), float(row.peer))
    name = "a number"
  low, ratio, high = (float(q) for q in np.quantile(ours / peer, [0.25, 0.5, 0.75]))  # Neighbours in time.
  met = None if row.bar is None else bool(ratio <= row.bar if row.lower else ratio >= row.bar)
  return {
    "what": row.what,
    "unit": row.unit,
    "repeats": len(ours),
    "contender": row.ours[0],
    "ours": float(np.median(ours)),
    "peer": name,
    "peer_figure": float(np.median(peer)),
    "ratio": ratio,
    "quartiles": [low, high],
    "bar": row.bar,
    "lower": row.lower,
    "met": met,
  }


def table(summaries: list[dict]) -> str:
  """The results in Markdown."""
  lines = [
    "# Speed",
    "",
    f"Medians of interleaved repeats; each ratio is of two runs of one repeat. On {os.cpu_count()} cores "
    f"({platform.machine()}), Python {platform.python_version()}, one thread for an operation; made by "
    "`benchmarks/speed.py`, which says how.",
    "",
    "| what | repeats | ours | beside | its figure | ratio | quartiles | bar | |",
    "| --- | ---: | ---: | --- | ---: | ---: | --- | ---: | --- |",
  ]
  for s in summaries:
    ours = f"{s['ours']:,.0f} {s['unit']}" + ("" if s["contender"].startswith("ours") else f" ({s['contender']})")
    low, high = s["quartiles"]
    bar = "" if s["bar"] is None else f"{'≤' if s['lower'] else '≥'} {s['bar']:g}"
    met = {None: "", True: "met", False: "**missed**"}[s["met"]]
    lines.append(
      f"| {s['what']} | {s['repeats']} | {ours} | {s['peer']} | {s['peer_figure']:,.0f} | {s['ratio']:.2f} "
      f"| {low:.2f} to {high:.2f} | {bar} | {met} |"
    )
  return "\n".join(lines) + "\n"


def plot(summaries: list[dict], path: pathlib.Path) -> None:
  """The ratios as bars, on a logarithmic axis, with the bars to reach as black marks."""
  import matplotlib

  matplotlib.use("Agg")
  from matplotlib import pyplot

  colours = {None: "#9aa5b1", True: "#2a7f62", False: "#c0392b"}
  figure, axes = pyplot.subplots(figsize=(11, 0.34 * len(summaries) + 1.2), layout="constrained")
  for y, s in enumerate(summaries):
    low, high = s["quartiles"]
    axes.barh(y, s["ratio"], color=colours[s["met"]], height=0.7)
    axes.plot([low, high], [y, y], color="black", linewidth=1)
    if s["bar"] is not None:
      axes.plot([s["bar"]] * 2, [y - 0.42, y + 0.42], color="black", linewidth=2.5)
  axes.axvline(1, color="black", linewidth=0.6)
  axes.set_yticks(range(len(summaries)), [f"{s['what']}\nbeside {s['peer']}" for s in summaries], fontsize=6)
  axes.set_xscale("log")
  axes.invert_yaxis()
  axes.set_xlabel("ours / the other (green: the bar, a thick mark, is met; red: missed; grey: no bar)")
  figure.savefig(path, dpi=120)
  pyplot.close(figure)


def main() -> None:
  """Reads the command line, measures, and writes the results."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  beside = parser.add_mutually_exclusive_group(required=True)
  beside.add_argument("--peers", type=pathlib.Path, help="where make_peers.py made their environments")
  beside.add_argument("--against", metavar="COMMIT", help="another commit of ours, which is built for it")
  parser.add_argument("--pairs", type=int, default=15, help="measurements of each row beside a commit")
  parser.add_argument("--repeats", type=int, default=5)
  parser.add_argument(
    "--only", nargs="*", choices=list(GROUPS), default=list(GROUPS), help="what is measured; else as in speed.json"
  )
  parser.add_argument("--out", type=pathlib.Path, default=HERE / "results")
  arguments = parser.parse_args()
  arguments.out.mkdir(parents=True, exist_ok=True)
  if arguments.against is not None:
    print(against.run(arguments.against, arguments.pairs, THREADS, arguments.out))
    return
  path = arguments.out / "speed.json"
  runs = run_groups(arguments.only, arguments.repeats, arguments.peers)
  if path.exists():
    runs = json.loads(path.read_text())["runs"] | runs
  summaries = [summarize(row, runs[name]) for name in GROUPS if name in runs for row in GROUPS[name].rows]
  path.write_text(json.dumps({"rows": summaries, "runs": runs}, indent=1) + "\n")
  text = table(summaries)
  (arguments.out / "speed.md").write_text(text)
  plot(summaries, arguments.out / "speed.png")
  print(text)


if __name__ == "__main__":
  main()
