"""What rliable makes of some scores, for test_experiments_report.py.

pip install rliable
python packages/acme-experiments/tests/golden/make_rliable.py > packages/acme-experiments/tests/golden/rliable.json
"""

import json

import numpy as np
from rliable import library, metrics


def main():
  rng = np.random.default_rng(0)
  scores = {
    f"{runs}x{tasks}": rng.gamma(2.0, 0.4, size=(runs, tasks)).round(4) for runs, tasks in ((10, 3), (5, 1), (7, 4))
  }
  thresholds = np.linspace(0, 2, 9)
  functions = {
    "iqm": metrics.aggregate_iqm,
    "mean": metrics.aggregate_mean,
    "median": metrics.aggregate_median,
    "optimality_gap": metrics.aggregate_optimality_gap,
  }
  found = {}
  for name, each in scores.items():
    points, intervals = library.get_interval_estimates(
      {name: each},
      lambda x: np.array([function(x) for function in functions.values()]),
      reps=20_000,
      random_state=np.random.RandomState(0),
    )
    profiles, bands = library.create_performance_profile({name: each}, thresholds, reps=5_000)
    found[name] = {
      "scores": each.tolist(),
      "points": dict(zip(functions, points[name].tolist(), strict=True)),
      "intervals": dict(zip(functions, intervals[name].T.tolist(), strict=True)),
      "profile": profiles[name].tolist(),
      "bands": bands[name].tolist(),
    }
  print(json.dumps({"thresholds": thresholds.tolist(), "cases": found}, indent=1))


if __name__ == "__main__":
  main()
