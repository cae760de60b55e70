"""An environment of one's own on the command line: its options, its wrappers, and that all commands find it again."""

import json
import os
import pathlib
import sys

import pytest

from acme_experiments import evaluation, parsing

FOLDER = pathlib.Path(__file__).parent
MINE = """
import gymnasium
import numpy as np

class Grid(gymnasium.Env):
  observation_space = gymnasium.spaces.Box(-99, 99, (2,))
  action_space = gymnasium.spaces.Discrete(2)

  def __init__(self, size=5, names=(), slow=False):
    self.size = size + len(names)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.steps = 0
    return self.np_random.random(2, np.float32), {}

  def step(self, action):
    self.steps += 1
    return self.np_random.random(2, np.float32), 1.0, self.steps == self.size, False, {}

def double(environment, factor=2):
  return gymnasium.wrappers.TransformReward(environment, lambda reward: factor * reward)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """The current folder, with mine.py in it; the path is put back, and modules are forgotten."""
  monkeypatch.setattr(sys, "path", list(sys.path))
  monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER / "fake_agents"), os.environ.get("PYTHONPATH", "")]))
  (tmp_path / "mine.py").write_text(MINE)
  yield tmp_path
  for name, module in list(sys.modules.items()):
    if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
      del sys.modules[name]


def experiment(folder):
  return json.loads((folder / "config.json").read_text())["experiment"]


def test_all_commands_find_it_from_anywhere(acme_command, folder, monkeypatch):
  code, _, error = acme_command(
    "run fake mine.py:Grid --env.size 3 --env.names=[1,2] --env.slow False --wrap mine.py:double:factor=3"
    " --wrap frame_stack:2 --steps 2e1 --envs 2 --eval-every 0 --out first --quiet"
  )
  assert code == 0, error
  ran = experiment(folder / "first")
  assert ran["env_options"] == {"size": 3, "names": [1, 2], "slow": False} and ran["steps"] == 20
  assert ran["wrap"] == ["mine.py:double:factor=3", "frame_stack:2"] and ran["folder"] == str(folder)
  (folder / "elsewhere").mkdir()
  monkeypatch.chdir(folder / "elsewhere")
  for line in ("evaluate ../first --episodes 2", "resume ../first --steps 30 --quiet"):
    code, text, error = acme_command(line)
    assert code == 0 and "return 15.00 ± 0.00" in text, error  # Five steps of a reward of 1, three times.


def test_an_episode_that_would_not_end_is_cut_in_evaluations(acme_command, folder, monkeypatch):
  monkeypatch.setattr(evaluation, "ENDLESS", 40)
  code, text, error = acme_command("run fake mine.py:Grid --env.size 1e9 --steps 20 --eval-every 20 --out first")
  assert code == 0 and "episodes were cut at 40 steps" in text and "--wrap step_limit" in text, error
  code, text, error = acme_command("evaluate first --episodes 2")
  assert code == 0 and "return 40.00 ± 0.00" in text, error


def test_a_file_that_is_gone_is_named(acme_command, folder):
  assert acme_command("run fake mine.py:Grid --steps 10 --eval-every 0 --out first --quiet")[0] == 0
  (folder / "mine.py").unlink()
  for name in [name for name in sys.modules if name.endswith("mine.py")]:
    del sys.modules[name]
  code, _, error = acme_command("resume first --steps 20")
  assert code == 2 and f"There is no file {folder}/mine.py" in error


def test_seeds_in_processes_and_sweeps_find_it(acme_command, folder):
  (folder / "try.toml").write_text(
    'agent = "fake"\nenv = "mine:Grid"\nsteps = 1e1\nseeds = "3"\neval-every = 0\nwrap = ["mine:double", "flatten"]\n'
    '[env-options]\nsize = 2\nnames = ["a"]\n[sweep]\nlearning_rate = [0.5]\n'
  )
  code, text, error = acme_command("sweep try.toml --out tried --quiet")
  assert code == 0 and "6.00 (6.00)" in text, (text, error)
  assert acme_command("run fake mine:Grid --config-file tried/best.toml --wrap flatten --out again --quiet")[0] == 0
  again = experiment(folder / "again")
  assert again["env_options"] == {"size": 2, "names": ["a"]} and again["wrap"] == ["flatten"]


def test_it_is_checked(acme_command, folder):
  code, text, _ = acme_command("check-env mine.py:Grid --env.size 3 --wrap mine:double --wrap TimeLimit:2")
  assert (code, text) == (0, "mine.py:Grid is fine.\n")


def test_a_random_seed_is_said_and_recorded(acme_command, folder):
  seeds = set()
  for name in ("a", "b"):
    code, text, _ = acme_command(f"run fake mine.py:Grid --steps 5 --seed random --eval-every 0 --out {name} --quiet")
    assert code == 0 and f"seed: {experiment(folder / name)['seed']}\n" in text
    seeds.add(experiment(folder / name)["seed"])
  assert len(seeds) == 2
  (folder / "try.toml").write_text(
    'agent = "fake"\nenv = "mine:Grid"\nseed = "random"\n[sweep]\nlearning_rate = [0.5]\n'
  )
  code, _, error = acme_command("sweep try.toml")
  assert code == 2 and "trials are compared on the same seeds" in error


@pytest.mark.parametrize(
  ("text", "number"),
  [
    ("0", 0), ("12", 12), ("-3", -3), ("1_000_000", 10**6), ("1e5", 10**5), ("1E5", 10**5), ("1.5e3", 1500),
    ("1M", 10**6), ("0.5k", 500), (".5k", 500), ("2B", 2 * 10**9), ("100000.0", 10**5), ("1e+3", 1000),
    ("9" * 500, int("9" * 500)),
  ],
)  # fmt: skip
def test_counts_as_one_types_them(text, number):
  assert parsing.whole_number(text) == number


@pytest.mark.parametrize("text", ["", "1.5", "1e-3", "1.2345k", "k", "1m", "1kk", "1e999999999", "inf", "nan", "0x10"])
def test_what_is_no_count(text):
  with pytest.raises(ValueError, match="."):
    parsing.whole_number(text)


def test_counts_in_the_config_of_an_agent():
  line = "run fake gym:CartPole-v1 --config.nan-at 2e4 --config.hidden-sizes 64 1k"
  config = parsing.parse(line.split())[1]
  assert config.nan_at == 20_000 and config.hidden_sizes == (64, 1000)
