"""`acme export`: the policy of a run as a folder that acts without this project, and says how in its README.

- params.npz: the parameters by name
- start.npz: what the function takes besides an observation when an episode begins; empty where that is nothing
- policy.jax, a function that `jax.export` reads, or saved_model/, a SavedModel of TensorFlow
- policy.json: the agent, its config, the environment and its specs, the checkpoint's step, and what the function takes
- README.md: how to act with it
"""

import os
import pathlib
from typing import Any

from acme import checkpointing
from acme_experiments import rundir
from acme_experiments.experiment import UsageError
from acme_experiments.loading import LoadedAgent
from acme_replay.datasets import index

FORMAT = 1

_LOAD = {
  "jax": """import jax, numpy as np
from jax import export
policy = jax.jit(export.deserialize(bytearray(open("policy.jax", "rb").read())).call)
params, start = dict(np.load("params.npz")), dict(np.load("start.npz"))
act = lambda inputs: jax.tree.map(np.asarray, policy(params, inputs))""",
  "tf": """import numpy as np, tensorflow as tf
policy = tf.saved_model.load("saved_model")
start = dict(np.load("start.npz"))
act = lambda inputs: {name: value.numpy() for name, value in policy.act(inputs).items()}""",
}
_NEEDS = {"jax": "jax, flatbuffers and numpy", "tf": "tensorflow and numpy"}


def export(agent: LoadedAgent, out: str | os.PathLike[str]) -> pathlib.Path:
  """Writes the folder, at one stroke; killed on the way, there is none.

  Args:
    agent: as `acme_experiments.load` gives it.
    out: the folder, which must not exist.

  Raises:
    UsageError: something is there already, or the agent's acting is no function, as that of a search is none.
  """
  out = pathlib.Path(out)
  name = agent.experiment.agent
  write = getattr(agent.builder, "export", None)
  if write is None or agent.builder.backend not in _LOAD:
    raise UsageError(f"{name} cannot be exported: its backend writes no function of its policy. Act by load() instead.")
  with rundir.at_one_stroke(out, f"{out} exists: give another --out. Nothing was changed.") as folder:
    if out.exists():  # An empty folder would be replaced.
      raise FileExistsError(out)
    try:
      taken = write(agent.spec, agent, agent.seed, folder)
    except (ValueError, ImportError) as error:
      raise UsageError(f"{name} cannot be exported: {error}") from error
    rundir.write_json(folder / "policy.json", _describe(agent) | taken)
    (folder / "README.md").write_text(_readme(agent, taken), encoding="utf-8")
    for path in (*folder.rglob("*"), folder):
      checkpointing.sync(path)
  return out


def _describe(agent: LoadedAgent) -> dict[str, Any]:
  experiment = agent.experiment
  return {
    "format": FORMAT,
    "agent": experiment.agent,
    "backend": agent.builder.backend,
    "environment": experiment.environment,
    "env_options": dict(experiment.env_options),
    "wrap": experiment.wrap,
    "step": agent.step,
    "config": dict(experiment.config),
    "specs": {field: index.to_json(spec) for field, spec in agent.spec._asdict().items()},
    "versions": rundir.versions(experiment.agent),
  }


def _readme(agent: LoadedAgent, taken: dict[str, Any]) -> str:
  """What it is, and lines of Python that act with it."""
  backend = agent.builder.backend or ""
  inputs, outputs = taken["inputs"], taken["outputs"]
  observations = [name for name in inputs if name.partition("/")[0] == "observation"]
  actions = [name for name in outputs if name.partition("/")[0] == "action"]
  seen = ", ".join(f'"{name}": {name.replace("/", "_")}' for name in observations)
  chosen = ", ".join(f'outputs["{name}"]' for name in actions)
  lines = [f"outputs = act(start | {{{seen}}})  # the first step of an episode", f"action = {chosen}"]
  told = [name for name in ("reward", "discount") if name in inputs]
  if inputs.keys() & outputs.keys():
    more = "".join(f', "{name}": {name}' for name in told)
    lines.append("state = {name: outputs[name] for name in start if name in outputs}")
    lines.append(f"outputs = act(start | state | {{{seen}{more}}})  # each step after it")
  table = "\n".join(
    f"| {kind} | {name} | {each['dtype']} | {each['shape']} |"
    for kind, several in (("input", inputs), ("output", outputs))
    for name, each in several.items()
  )
  epsilon = agent.experiment.config.get("eval_epsilon")
  greedy = (
    f"\nThe run's evaluations act at random with probability {epsilon:g}; this function never does.\n"
    if epsilon
    else ""
  )
  counts = {"jax": "steps", "tf": "seed"}[backend]
  drawn = f" What is drawn goes by `{counts}`: keep it from episode to episode." if counts in inputs else ""
  return f"""# {agent.experiment.agent} on {agent.experiment.place}, after {agent.step:,} steps

Acts with {_NEEDS[backend]} alone, in this folder:

```python
{_LOAD[backend]}
{chr(10).join(lines)}
```

One observation goes in, and one action comes out, without a batch axis.{drawn}
{greedy}
| | name | dtype | shape |
| --- | --- | --- | --- |
{table}
"""
