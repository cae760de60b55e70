import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
  ("line", "complaint"),
  [
    ("rum fake gym:CartPole-v1", "No command is called 'rum'. Did you mean run"),
    ("run fak gym:CartPole-v1", "No agent is called 'fak'. Did you mean fake"),
    ("run fake gym:CartPole-v1 --config.lerning-rate 1", "--config.lerning-rate. Did you mean --config.learning-rate?"),
    ("run fake gym:CartPole-v1 --stepz 1", "No option is called --stepz. Did you mean --steps?"),
    ("run fake gym:CartPole-v1 --steps many", "--steps cannot be 'many'"),
    ("run fake gym:CartPole-v1 --steps 0", "steps: expected 1 or more, got 0"),
    ("run fake gym:CartPole-v1 --steps 10 --episodes 10", "Expected either steps or episodes"),
    ("run fake gym:CartPole-v1 --config.learning-rate -1", "FakeConfig.learning_rate: expected a number above 0"),
    ("run fake gym:CartPole-v1 --config.learning-rate fast", "--config.learning-rate"),
    ("run fake gym:CartPole-v1 --preset fats", "has no preset 'fats'. Did you mean fast?"),
    ("run fake gym:CartPool-v1", "Did you mean gym:CartPole-v1"),
    ("run fake gym:CartPole-v1 --wrap mask", "No wrapper is called 'mask'; there are mask_velocity"),
    ("run fake gym:FrozenLake-v1 --wrap mask_velocity", "expected one of gym:Acrobot-v1"),
    ("run fake gym:Pendulum-v1", "Expected a discrete action spec"),
    ("run fake gym:CartPole-v1 --backend tf", "backend: expected one of 'numpy', got 'tf'"),
    ("run fake gym:CartPole-v1 --replay reverb", "No replay is called 'reverb'. Installed: "),
    ("run fake gym:CartPole-v1 --replay reverb", "embedded, mapped. pip install acme-reverb (Linux, Python 3.11)"),
    ("run fake gym:CartPole-v1 --replay reverb://there", "expected reverb://HOST:PORT"),
    ("run fake gym:CartPole-v1 --replay embedded://there:80", "the replay 'embedded' has no address"),
    ("run fake gym:CartPole-v1 --listen-everywhere", "the replay 'embedded' has no listen-everywhere"),
    ("run fake gym:CartPole-v1 --dataset nowhere", "nowhere: expected a folder with episodes"),
    ("run fake gym:CartPole-v1 --dataset d --config.queue True", "A queue is learned from once"),
    ("run fake gym:CartPole-v1 --dataset d --envs 2", "no episodes and no envs"),
    ("run fake gym:CartPole-v1 --dataset d --episodes 2", "no episodes and no envs"),
    ("run fake gym:CartPole-v1 --simulator", "This agent does not plan in copies of its environment"),
    ("replay-server fake gym:CartPole-v1 --port 8001", "pip install acme-reverb"),
    ("run fake", "ENV"),
    ("resume nowhere", "nowhere holds no run"),
    ("evaluate nowhere", "nowhere holds no run"),
    ("plot nowhere --out a.png", "nowhere holds no run"),
    ("check-env gym:CartPool-v1", "Did you mean gym:CartPole-v1"),
    ("new-agent Bad_Name", "Bad_Name"),
  ],
)
def test_what_cannot_be_is_one_clear_line(acme_command, tmp_path, line, complaint):
  code, _, error = acme_command(line)
  assert code == 2
  assert complaint in error
  assert error.count("\n") == 1 and "Traceback" not in error
  assert not list(tmp_path.rglob("config.json"))  # Nothing is left of a run that never began.


def test_help_shows_the_options_of_the_agent(acme_command):
  code, text, _ = acme_command("run fake --help")
  assert code == 0
  assert "--config.learning-rate" in text and "How far parameters move" in text and "0.01" in text
  assert "--eval-every" in text
  for line in ("--help", "run --help", "resume --help", "plot --help"):
    assert acme_command(line)[0] == 0


def test_list(acme_command):
  code, text, _ = acme_command("list")
  assert code == 0
  assert "fake" in text and "0.1.0" in text and "continuous" in text and "gym:" in text and "jax:" in text


def test_help_and_list_import_nothing_heavy():
  script = """
import sys
from acme_experiments import cli
cli.main(["list"])
heavy = {"jax", "tensorflow", "matplotlib", "tensorboardX", "gymnasium", "haiku"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
  subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_check_env(acme_command):
  code, text, _ = acme_command("check-env gym:CartPole-v1")
  assert (code, text) == (0, "gym:CartPole-v1 is fine.\n")


def test_run_resume_evaluate_plot(acme_command, tmp_path):
  code, text, _ = acme_command(
    "run fake gym:CartPole-v1 --steps 300 --out here --seed 3"
    " --preset fast --config.hidden-sizes 1 2 3 --config.double False"
  )
  assert code == 0
  assert "evaluation return" in text and "run: here" in text
  content = json.loads((tmp_path / "here" / "config.json").read_text())
  assert content["experiment"]["config"] == {
    "learning_rate": 0.5, "hidden_sizes": [1, 2, 3], "double": False, "queue": False, "demonstrations": None,
    "vmax": None, "stops_after": None, "nan_at": None,
  }  # fmt: skip
  assert content["experiment"]["seed"] == 3 and content["experiment"]["eval_every"] == 15
  assert {"numpy", "python", "agent", "acme-core"} <= set(content["versions"])

  code, _, error = acme_command("run fake gym:CartPole-v1 --steps 300 --out here")
  assert code == 2 and "exists and is not empty" in error
  code, text, _ = acme_command("resume here")
  assert code == 0 and "is over" in text
  code, text, _ = acme_command("resume here --steps 400 --quiet")
  assert code == 0 and text.count("\n") == 2
  code, text, _ = acme_command("evaluate here --episodes 3")
  assert code == 0 and "over 3 episodes, with the parameters of step 400" in text
  code, text, _ = acme_command("plot here --out curves.png")
  assert code == 0 and (tmp_path / "curves.png").stat().st_size > 1000


def test_the_default_directory_names_the_run(acme_command, tmp_path):
  assert acme_command("run fake gym:CartPole-v1 --steps 20 --config.learning_rate 0.1")[0] == 0
  (path,) = (tmp_path / "runs").iterdir()
  assert path.name.startswith("fake-gym-CartPole-v1-0-")


def test_video(acme_command, tmp_path):
  pytest.importorskip("imageio_ffmpeg")
  pytest.importorskip("pygame")
  assert acme_command("run fake gym:CartPole-v1 --steps 20 --eval-every 10 --eval-share 0 --out v --video")[0] == 0
  films = sorted(path.name for path in (tmp_path / "v" / "videos").iterdir())
  assert films == ["final.mp4", "step-000000000010.mp4", "step-000000000020.mp4"]
  assert acme_command("evaluate v --episodes 1 --video v.gif")[0] == 0
  assert (tmp_path / "v.gif").stat().st_size > 1000
  code, _, error = acme_command("evaluate v --video v.txt")
  assert code == 2 and "ends in .mp4 or .gif" in error
