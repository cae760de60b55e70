"""Our speed beside that of another commit of ours: `python benchmarks/speed.py --against COMMIT [--pairs 15]`.

That commit's packages are built and installed in an environment of their own, under its own constraints, and its own
workers are run there. Each pair runs right after one another, in an order that turns from pair to pair.
"""

import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
PACKAGES = ("acme-core", "acme-replay", "acme-jax", "acme-dqn", "acme-d4pg")
ROWS = {
  "DQN on CartPole, one SGD step every step": ("dqn_ours.py", "--every", "1", "--steps", "3000"),
  "the same, every 4th step": ("dqn_ours.py", "--every", "4", "--steps", "8000"),
  "the same, every step, prioritised, double, 5-step": ("dqn_ours.py", "--config", "prioritized", "--steps", "3000"),
  "DQN's default config": ("dqn_ours.py", "--config", "default", "--steps", "6000"),
  "D4PG on Pendulum, one SGD step every 8th step": ("pendulum_ours.py", "--steps", "1600", "--sgd-steps", "20"),
}
EARLIER = {"pendulum_ours.py": "d4pg_ours.py"}  # What workers were called in older commits.
_RESAMPLES = 10_000


def run(commit: str, pairs: int, environment: dict[str, str], out: pathlib.Path) -> str:
  """Measures, writes `against.json` and `against.md` into `out`, and returns the table."""
  commit = subprocess.run(
    ["git", "rev-parse", "--short", commit], cwd=ROOT, check=True, capture_output=True, text=True
  ).stdout.strip()
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder)
    contenders = {
      commit: (install(commit, path), path / "sources" / "benchmarks" / "workers"),
      "now": (pathlib.Path(sys.executable), HERE / "workers"),
    }
    speeds: dict[str, dict[str, list[float]]] = {row: {name: [] for name in contenders} for row in ROWS}
    for pair in range(pairs):
      for row, worker in ROWS.items():
        for name in list(contenders)[:: 1 if pair % 2 else -1]:
          speeds[row][name].append(measure(*contenders[name], worker, environment))
        print(f"{pair + 1}/{pairs} {row}: {speeds[row]['now'][-1] / speeds[row][commit][-1]:.3f}", flush=True)
  (out / "against.json").write_text(json.dumps(speeds, indent=1) + "\n")
  text = table(commit, pairs, speeds)
  (out / "against.md").write_text(text)
  return text


def install(commit: str, folder: pathlib.Path) -> pathlib.Path:
  """Builds and installs a commit's packages in `folder`, and returns the interpreter that has them."""
  sources, python = folder / "sources", folder / "venv" / "bin" / "python"
  archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
  with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
    tar.extractall(sources, filter="data")
  wanted = [str(sources / "packages" / name) for name in PACKAGES]
  wanted += ["gymnasium", "-c", str(sources / "constraints" / "jax.txt")]
  if uv := shutil.which("uv"):
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder / "venv")], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *wanted], check=True)
  else:
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
  return python


def measure(python: pathlib.Path, workers: pathlib.Path, worker: tuple[str, ...], environment: dict[str, str]) -> float:
  """Runs one worker: steps a second."""
  script, *arguments = worker
  if not (workers / script).exists():
    script = EARLIER[script]
  others = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
  command = [str(python), str(workers / script), *arguments]
  result = subprocess.run(command, env=others | environment, capture_output=True, text=True, timeout=600)
  if result.returncode:
    raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-3000:]}")
  return json.loads(result.stdout.splitlines()[-1])["steps_per_second"]


def table(commit: str, pairs: int, speeds: dict[str, dict[str, list[float]]]) -> str:
  """The median of the pairs' ratios, with a 95 % bootstrap interval of it."""
  lines = [
    f"# Speed beside commit {commit}",
    "",
    f"`python benchmarks/speed.py --against {commit} --pairs {pairs}`: steps/s, medians of {pairs} pairs; the ratio is "
    "the median of the pairs' own, with its 95 % bootstrap interval.",
    "",
    f"| what | {commit} | now | ratio | interval |",
    "| --- | ---: | ---: | ---: | --- |",
  ]
  rng = np.random.default_rng(0)
  for row, by_name in speeds.items():
    then, now = np.array(by_name[commit]), np.array(by_name["now"])
    ratios = now / then
    medians = np.median(rng.choice(ratios, (_RESAMPLES, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    lines.append(
      f"| {row} | {np.median(then):,.0f} | {np.median(now):,.0f} | {np.median(ratios):.3f} | {low:.3f} to {high:.3f} |"
    )
  return "\n".join(lines) + "\n"
