import email.message
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from importlib import metadata

import pytest

from acme import plugins
from acme_experiments import RunDirectory, doctor, parsing, run
from acme_experiments import completion as completing

FOLDER = pathlib.Path(__file__).parent


@pytest.mark.parametrize(
  ("line", "complaint"),
  [
    ("rum fake gym:CartPole-v1", "No command is called 'rum'. Did you mean run"),
    ("run fak gym:CartPole-v1", "No agent is called 'fak'. Did you mean fake"),
    ("run fake gym:CartPole-v1 --config.lerning-rate 1", "--config.lerning-rate. Did you mean --config.learning-rate?"),
    ("run fake gym:CartPole-v1 --stepz 1", "No option is called --stepz. Did you mean --steps?"),
    ("run fake gym:CartPole-v1 --steps many", "--steps cannot be 'many'"),
    ("run fake gym:CartPole-v1 --steps 0", "steps: expected 1 or more, got 0"),
    ("run fake gym:CartPole-v1 --seed 1e30", "seed: expected a number below 2^63, got 1000"),
    ("run fake gym:CartPole-v1 --seeds 9223372036854775808", "numbers of 0 or more that differ, below 2^63, got"),
    ("run fake gym:CartPole-v1 --steps 10 --episodes 10", "Expected either steps or episodes"),
    ("run fake gym:CartPole-v1 --config.learning-rate -1", "FakeConfig.learning_rate: expected a number above 0"),
    ("run fake gym:CartPole-v1 --config.learning-rate fast", "--config.learning-rate"),
    ("run fake gym:CartPole-v1 --preset fats", "has no preset 'fats'. Did you mean fast?"),
    ("run fake --preset auto --dataset d", "--preset auto chooses by the environment: give ENV, right after AGENT"),
    ("run fake gym:CartPool-v1", "Did you mean gym:CartPole-v1"),
    ("run fake gym:CartPole-v1 --wrap mask", "No wrapper is called 'mask'. There are action_repeat"),
    ("run fake gym:FrozenLake-v1 --wrap mask_velocity", "expected one of gym:Acrobot-v1"),
    ("run fake gym:Pendulum-v1", "Expected a discrete action spec"),
    ("run fake gym:CartPole-v1 --wrap frame_stack:x", "wrapper 'frame_stack:x': TypeError"),
    ("run fake gym:CartPole-v1 --env.gravitas 1", "unexpected keyword argument 'gravitas'"),
    ("run fake gym:CartPole-v1 --env.seed 1", "--env.seed is no option: --seed seeds episodes"),
    ("run fake gym:CartPole-v1 --env.size --seed 1", "--env.size: expected a value, such as --env.size 5"),
    ("run fake gym:CartPole-v1 --env.1 1", "--env.1: expected the name of a keyword argument"),
    ("run fake --dataset d --env.size 1", "Expected ENV"),
    ("resume nowhere --env.size 1", "No option is called --env.size"),
    ("run fake absent.py:Grid", "There is no file "),
    ("run fake gym:CartPole-v1 --steps 1.5", "--steps cannot be '1.5'"),
    ("run fake gym:CartPole-v1 --seed randm", "--seed cannot be 'randm'"),
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


def test_list(acme_command, monkeypatch):
  look_up, groups = metadata.entry_points, []
  monkeypatch.setattr(metadata, "entry_points", lambda **names: groups.append(names["group"]) or look_up(**names))
  code, text, _ = acme_command("list")
  assert code == 0
  assert groups.count("acme.agents") == 1, "it takes a tenth of a second"
  assert "fake" in text and "0.1.0" in text and "continuous" in text and "gym:" in text and "jax:" in text


@pytest.mark.parametrize(
  ("line", "without"),
  [
    ("--version", "numpy acme acme_envs tyro"),
    ("--help", "numpy acme acme_envs jax"),
    ("list", "tyro rich matplotlib gymnasium jax tensorflow tensorboardX haiku acme_replay acme_experiments.commands"),
    ("completion bash", "matplotlib gymnasium jax tensorflow tensorboardX haiku"),
  ],
)
def test_what_has_to_be_quick_imports_nothing_heavy(line, without):
  script = f"""
import contextlib, sys
from acme_experiments import cli
with contextlib.suppress(SystemExit):
  cli.main({line.split()})
sys.exit(str(set({without.split()}) & set(sys.modules) or "") or 0)
"""
  subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_a_folder_of_runs_is_a_table(acme_command, make_run, tmp_path):
  code, _, error = acme_command("list --runs .")
  assert code == 2 and "holds no runs" in error
  run(make_run("swept/trial-000", steps=20, eval_every=0))
  begun, broken, many = make_run("begun"), make_run("broken"), make_run("many", seeds=(3, 4))
  for name in ("damaged", "locked", "unmounted"):
    run(make_run(name, steps=5, eval_every=0))
  (tmp_path / "damaged" / "config.json").write_text("{")
  (tmp_path / "elsewhere").write_text(str(os.getpid()))
  (tmp_path / "locked" / "lock").unlink()
  (tmp_path / "locked" / "lock").symlink_to(tmp_path / "elsewhere")
  for name in ("saved.json", "summary.json"):
    (tmp_path / "unmounted" / name).unlink()
  shutil.rmtree(tmp_path / "unmounted" / "checkpoints")
  (tmp_path / "unmounted" / "checkpoints").symlink_to("nowhere")
  broken.error.write_text("Traceback")
  begun.write_saved(300, 7)
  many.make_seed(3).write_saved(100, 2)
  running = make_run("running", environment="gym:FrozenLake-v1", env_options={"is_slippery": False}, wrap=["flatten"])
  with running.lock():
    code, text, _ = acme_command("list --runs .")
  rows = {row[0]: row[1:] for row in (re.split("  +", line.strip()) for line in text.splitlines())}
  names = ["begun", "broken", "damaged", "locked", "many", "running", "swept/trial-000", "unmounted"]
  assert code == 0 and list(rows) == ["run", *names]
  assert rows["swept/trial-000"][:5] == ["fake", "gym:CartPole-v1", "0", "finished", "20 of 20 steps"]
  assert float(rows["swept/trial-000"][5]) > 0
  assert rows["begun"][3:] == ["stopped", "300 of 600 steps", "–"] and rows["broken"][3] == "failed"
  assert rows["many"][2:5] == ["2 from 3", "stopped", "0 of 600 steps"]
  assert rows["running"][1] == "gym:FrozenLake-v1 is_slippery=False flatten" and rows["running"][3] == "running"
  assert {rows[name][3] for name in ("damaged", "locked", "unmounted")} == {"damaged"}
  assert acme_command("list --runs swept/trial-000")[1].count("\n") == 2


@pytest.mark.parametrize(
  ("line", "words"),
  [
    ("acme res", "resume"),
    ("acme run fak", "fake"),
    ("acme run fake --ste", "--steps"),
    ("acme run fake --config.le", "--config.learning-rate"),
    ("acme run fake --config.double ", "True False"),
    ("acme run fake --preset ", "auto fast"),
    ("acme run fake gym:X --loop ", "device host"),
    ("acme evaluate runs/first --which b", "best"),
    ("acme check-env gym:X --e", "--env."),
    ("acme completion ", "bash zsh fish"),
    ("acme dataset m", "merge"),
    ("acme resume ", ""),
  ],
)
def test_bash_completes(completion, line, words):
  words_typed = line.split(" ")
  word = words_typed[-1] or "--"  # What zsh hands over in place of an empty one.
  script = f"""{completion}
COMP_WORDS=({" ".join(repr(word) for word in words_typed)}); COMP_CWORD={len(words_typed) - 1}
_acme acme {word!r} {words_typed[-2]!r}; echo "${{COMPREPLY[*]}}"
"""
  assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip() == words


@pytest.fixture(scope="module")
def completion():
  if shutil.which("bash") is None:
    pytest.skip("there is no bash")
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(FOLDER / "fake_agents"))
    return completing.write("bash", parsing.COMMANDS)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_completion(acme_command, tmp_path, shell):
  code, text, _ = acme_command(f"completion {shell}")
  assert code == 0 and "--config.learning-rate" in text.replace("-l config", "--config") and "fake" in text
  if shutil.which(shell) is not None:
    (tmp_path / "script").write_text(text)
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


def test_doctor_names_what_is_missing_and_what_to_do(acme_command, monkeypatch):
  monkeypatch.setattr(doctor, "_LIBRARIES", {"numpy": ("print('cpu')", "numpy"), "no-such-library": ("", "it")})
  monkeypatch.delenv("DISPLAY", raising=False)
  monkeypatch.setattr(doctor, "_ours", lambda: {"acme-a": Package(
    'numpy>=1; extra == "one"', 'no-such-library; extra == "two"', 'numpy<1; extra == "three"',
    'no-such-library; python_version < "3" and extra == "one"',
  )})  # fmt: skip
  code, text, _ = acme_command("doctor")
  assert code == 0
  for words in (
    "numpy +ok .* on cpu", "no-such-library +missing +pip install it", r"acme-a\[one\] +ok",
    r"acme-a\[two\] +missing +no no-such-library: pip install 'acme-a\[two\]'",
    r"acme-a\[three\] +missing +numpy .*, expected <1: pip", "display +missing", "fake +ok +numpy",
  ):  # fmt: skip
    assert re.search(words, text), (words, text)
  monkeypatch.setattr(doctor, "_LIBRARIES", {"numpy": ("import no_such_library", "numpy")})
  monkeypatch.setattr(doctor, "_ours", lambda: {"acme-a": Package("numpy<1")})
  code, text, _ = acme_command("doctor")
  assert code == 1 and "No module named 'no_such_library'" in text and "pip install --upgrade acme-a" in text


class Package:
  """A distribution with requirements, and extras one, two and three."""

  version = "1"

  def __init__(self, *requires):
    self.requires = requires
    self.metadata = email.message.Message()
    for extra in ("one", "two", "three"):
      self.metadata["Provides-Extra"] = extra


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


@pytest.mark.parametrize(
  ("environment", "preset"),
  [
    ("gym:CartPole-v1", "fast"),
    ("jax:CartPole-v1", "fast"),
    ("CartPole-v1", "fast"),
    ("dm_control:cartpole:swingup", "fast"),
    ("jax:cartpole/3", "fast"),
    ("gym:CartPole-v0", None),
    ("mine.py:MyEnv", None),
  ],
)
def test_preset_auto_goes_by_the_environment(environment, preset):
  assert parsing.choose_preset(plugins.load_agent("fake"), "auto", environment) == preset


def test_preset_auto_is_said_and_recorded(acme_command, tmp_path):
  short = "--preset auto --config.double False --steps 5 --eval-every 0"
  code, text, _ = acme_command(f"run fake gym:CartPole-v1 {short} --out one")
  assert code == 0 and text.startswith("preset: fast of fake: For CartPole: found by nobody.\n")
  experiment = RunDirectory("one").read_experiment()
  assert (experiment.preset, experiment.config["learning_rate"], experiment.config["double"]) == ("fast", 0.5, False)

  code, text, _ = acme_command(f"run fake gym:MountainCar-v0 {short} --out other")
  assert code == 0
  assert text.startswith(
    "preset: fake has none for gym:MountainCar-v0, so its defaults (it has: CartPole-v1, cartpole)\n"
  )
  experiment = RunDirectory("other").read_experiment()
  assert (experiment.preset, experiment.config["learning_rate"]) == (
    None,
    plugins.load_agent("fake").config().learning_rate,
  )


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
  final = tmp_path / "v" / "videos" / "final.mp4"
  final.unlink()
  final.symlink_to(tmp_path / "precious")
  assert acme_command("resume v --steps 21")[0] == 0
  assert final.stat().st_size > 1000 and not (tmp_path / "precious").exists()
  assert acme_command("evaluate v --episodes 1 --video v.gif")[0] == 0
  assert (tmp_path / "v.gif").stat().st_size > 1000
  code, _, error = acme_command("evaluate v --video v.txt")
  assert code == 2 and "ends in .mp4 or .gif" in error
