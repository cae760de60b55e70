"""The agent of a run in Python again: newest, best or of a step, of one seed or many; and as files that act alone."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

import acme_experiments
from acme import checkpointing
from acme_experiments import RunDirectory, UsageError, components, evaluate, evaluation, run, rundir


@pytest.fixture
def trained(make_run):
  """A short run that is over, with checkpoints of steps 100 and 200."""
  directory = make_run("trained", steps=200, eval_every=50, checkpoint_every=100)
  run(directory)
  return directory


def act(agent, directory, episodes=2):
  """Returns as the final evaluation of a run has them, by what `load` gives."""
  experiment = dataclasses.replace(directory.read_experiment(), replay="nothing")
  seeds = components.Components(experiment)
  seeds.close()
  actor = agent.make_evaluator()
  evaluator = dataclasses.replace(
    seeds.evaluator, environment=agent.make_environment(), actor=actor, initial=actor.save()
  )
  return [evaluation.total_return(result) for result in evaluator.run(evaluation.FINAL, episodes)]


@pytest.mark.parametrize("which", ["newest", "best", 100])
def test_a_loaded_agent_acts_as_the_runs_evaluations_do(trained, which):
  agent = acme_experiments.load(trained.path, which)
  assert agent.step == trained.load_checkpoint(which).step
  assert act(agent, trained) == evaluate(trained, 2, which=which)["eval_returns"]
  (weights,) = agent.get_variables(["params"])
  learnt = trained.load_checkpoint(which).state["agent"]["learner"]["weights"]
  assert (weights == learnt).all()


def test_a_step_that_is_not_kept_and_what_is_none_are_named(trained, acme_command):
  with pytest.raises(checkpointing.CheckpointError, match="no checkpoint of step 7, but those of .*100 and .*200"):
    acme_experiments.load(trained.path, which=7)
  assert acme_command(f"evaluate {trained.path} --which 100 --episodes 1")[1].rstrip().endswith("step 100")
  code, _, error = acme_command(f"evaluate {trained.path} --which bset")
  assert code == 2 and "expected newest, best or the step of a checkpoint, got 'bset'" in error


def test_of_many_seeds_the_best_is_loaded(make_run):
  directory = make_run("many", steps=100, eval_every=0, checkpoint_every=None, seeds=(3, 5))
  with pytest.raises(UsageError, match="not over.*seed-3"):
    acme_experiments.load(directory.path)
  for seed in (3, 5):
    run(directory.make_seed(seed))
  means = {"eval_return_mean": 1.5, "eval_return_std": 0.5, "eval_episodes": 2, "seeds": {"3": 1.0, "5": 2.0}}
  rundir.write_json(directory.summary, {"steps": 100, "episodes": 1} | means)
  assert acme_experiments.load(directory.path).path == directory.seed_path(5)
  assert acme_experiments.load(directory.seed_path(3)).experiment.seed == 3


def test_an_agent_that_writes_no_function_is_refused_and_nothing_is_left(trained, acme_command, tmp_path):
  code, _, error = acme_command(f"export {trained.path} --out policy")
  assert code == 2 and "fake cannot be exported" in error
  assert [path.name for path in tmp_path.iterdir()] == ["trained"]


# Of real agents in JAX.

SMALL = {"min_replay_size": 8, "batch_size": 4, "max_replay_size": 200}
AGENTS = {
  "dqn": SMALL | {"hidden_sizes": [8]},
  "r2d2": {"min_replay_size": 4, "batch_size": 2, "burn_in_length": 2, "trace_length": 4, "core_size": 4,
           "hidden_sizes": [8]},
}  # fmt: skip


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
  """Runs of real agents, by name."""
  made = {}

  def make(name):
    pytest.importorskip(f"acme_{name}")
    pytest.importorskip("flatbuffers")
    if name not in made:
      experiment = acme_experiments.Experiment(
        agent=name, environment="gym:CartPole-v1", config=AGENTS[name], steps=60, checkpoint_every=60
      )
      made[name] = RunDirectory.create(tmp_path_factory.mktemp("runs") / name, experiment)
      run(made[name])
    return made[name]

  return make


PLAY = """
import json, sys
{code}
play = json.load(open("play.json"))
outputs = act(start | {{"observation": np.float32(play[0])}})
actions = [int(outputs["action"])]
for observation in play[1:]:
  state = {{name: outputs[name] for name in start if name in outputs}}
  more = {{"reward": np.float32(1)}} if "reward" in start else {{}}
  outputs = act(start | state | more | {{"observation": np.float32(observation)}})
  actions.append(int(outputs["action"]))
assert not any(name.partition(".")[0] in ("acme", "acme_jax", "haiku") for name in sys.modules)
print(actions)
"""


@pytest.mark.parametrize("name", AGENTS)
def test_an_exported_policy_acts_alone_as_the_run_does(learnt, acme_command, tmp_path, name):
  directory = learnt(name)
  code, text, error = acme_command(f"export {directory.path} --out policy")
  assert code == 0 and text.startswith("wrote policy"), error
  folder, agent = tmp_path / "policy", acme_experiments.load(directory.path)
  environment, actor = agent.make_environment(), agent.make_evaluator()
  timestep, actions, observations = environment.reset(), [], []
  actor.observe_first(timestep)
  while not timestep.last():
    observations.append(timestep.observation.tolist())
    actions.append(int(actor.select_action(timestep.observation)))
    timestep = environment.step(actions[-1])
    actor.observe(np.int64(actions[-1]), timestep)
  (folder / "play.json").write_text(json.dumps(observations))
  readme = (folder / "README.md").read_text()
  lines = readme.split("```python\n")[1].split("outputs = ")[0]
  done = subprocess.run(
    [sys.executable, "-c", PLAY.format(code=lines)], cwd=folder, capture_output=True, text=True, check=False
  )
  assert json.loads(done.stdout or "0") == actions, done.stderr
  described = json.loads((folder / "policy.json").read_text())
  assert (described["agent"], described["step"], described["config"]) == (name, 60, AGENTS[name])
  assert described["params"].keys() == np.load(folder / "params.npz").keys()
  code, _, error = acme_command(f"export {directory.path} --out policy")
  assert code == 2 and "policy exists" in error and (folder / "play.json").exists()
  assert {path.name for path in tmp_path.iterdir()} == {"policy"}
