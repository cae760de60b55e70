"""What SECURITY.md says: which files may name what is imported and opened, and which are data. Then noise for all."""

import json
import os
import random
import resource
import string
import sys
import time

import pytest

from acme import plugins
from acme_experiments import run

FUZZ = int(os.environ.get("ACME_FUZZ", "60"))  # ACME_FUZZ=2000 for the long session.


@pytest.fixture
def evil(tmp_path, monkeypatch):
  """A module that can be imported, and the file that it leaves where it is."""
  (tmp_path / "evil_module.py").write_text(
    f"import pathlib\npathlib.Path({str(tmp_path)!r}, 'imported').touch()\nAGENT = Store = make = print\n"
  )
  monkeypatch.syspath_prepend(str(tmp_path))
  yield tmp_path / "imported"
  sys.modules.pop("evil_module", None)


@pytest.fixture
def finished(make_run):
  directory = make_run(steps=200)
  run(directory)
  return directory


def change_experiment(directory, **changes):
  content = json.loads(directory.config.read_text())
  content["experiment"] |= changes
  directory.config.write_text(json.dumps(content))


@pytest.mark.parametrize(
  "changes",
  [
    {"agent": "evil_module"},
    {"agent": "evil_module:AGENT"},
    {"backend": "evil_module"},
    {"preset": "evil_module"},
    {"environment": "evil_module"},
    {"environment": "evil_module:"},
    {"environment": "fake:evil_module:make"},
    {"folder": "evil_module", "preset": "evil_module.py:make"},
    {"env_options": {"entry_point": "evil_module:make"}},
    {"wrap": ["evil_module"]},
    {"wrap": ["flatten:evil_module"]},
    {"environment": "..evil_module:x"},
    {"replay": "evil_module"},
    {"replay": "evil_module://localhost:1"},
    {"config": {"evil_module": 1}},
  ],
  ids=str,
)
def test_config_json_names_what_is_installed_and_nothing_else(finished, acme_command, evil, changes):
  change_experiment(finished, **changes)
  for line in ("resume {} --steps 300", "evaluate {} --episodes 1", "plot {} --out a.png"):
    acme_command(line.format(finished.path))
  assert not evil.exists()


@pytest.mark.parametrize(
  "changes",
  [
    {"environment": "gym:evil_module:Env-v0"},
    {"environment": "evil_module:make"},
    {"environment": "evil_module.py:make"},
    {"wrap": ["evil_module:make"]},
    {"wrap": ["evil_module.py:make:3"]},
  ],
  ids=str,
)
def test_but_environments_and_wrappers_are_imported(finished, acme_command, evil, changes):
  change_experiment(finished, folder=str(evil.parent), **changes)
  assert acme_command(f"plot {finished.path} --out a.png")[0] == 0 and not evil.exists()
  assert acme_command(f"resume {finished.path} --steps 10000")[0] != 0 and evil.exists()


def test_evaluating_opens_no_store(finished, acme_command, monkeypatch):
  load, asked = plugins.load_replay, []
  monkeypatch.setattr(plugins, "load_replay", lambda name: asked.append(name) or load(name))
  change_experiment(finished, replay="reverb://localhost:1")
  assert acme_command(f"evaluate {finished.path} --episodes 1")[0] == 0
  assert asked == []


# Noise. Whatever is put in, a command ends soon, with a code and no traceback.


def noise(rng):
  """A value that JSON may hold, seldom a sensible one."""
  return rng.choice([
    None, True, -1, 0, 1, 3, 0.5, -0.0, 1e308, 10**30, float("nan"), "", "x", "1", "é\u2028", "a" * 10_000, [], [1], {},
    {"a": 1}, [[[]]], "fake", "gym:CartPole-v1", "gym:", ":", "../x", "/dev/null", "embedded", "reverb", "://",
  ])  # fmt: skip


def timed(acme_command, line, arguments=None):
  start = time.monotonic()
  code, _, error = acme_command(line)
  assert time.monotonic() - start < 20, line
  assert code in (0, 1, 2) and "Traceback" not in error, (line, error)
  return code, error


def test_noise_in_config_json(make_run, acme_command):
  rng = random.Random(0)
  directory = make_run(steps=20, eval_every=10, eval_episodes=1)
  text = directory.config.read_text()
  long = ("envs", "steps", "episodes", "eval_episodes")  # Which may ask for years, and mean it.
  names = [name for name in json.loads(text)["experiment"] if name not in long]
  for i in range(FUZZ):
    if i % 2:
      data = bytearray(text.encode())
      for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
      directory.config.write_bytes(bytes(data))
    else:
      directory.config.write_text(text)
      change_experiment(directory, **{rng.choice(names): noise(rng)})
    timed(acme_command, f"evaluate {directory.path} --episodes 1")
    if i % 10 == 0:
      timed(acme_command, f"resume {directory.path}")


def test_noise_on_the_command_line(acme_command, tmp_path):
  rng = random.Random(0)
  words = ["run", "resume", "evaluate", "plot", "list", "check-env", "new-agent", "fake", "gym:CartPole-v1", "--steps"]
  words += [
    "--out",
    "--config.learning-rate",
    "--seed",
    "--envs",
    "--which",
    "best",
    "-1",
    "0",
    "2",
    "1e9",
    "nan",
    "run",
  ]
  words += [
    "--help",
    "--video",
    "--quiet",
    "--preset",
    "fast",
    "é",
    "=",
    "--",
    "-",
    "--eval-share",
    "--episodes",
    "0x1",
  ]
  for _ in range(FUZZ):
    line = [rng.choice(words) for _ in range(rng.randrange(1, 7))]
    if rng.random() < 0.3:
      line.append("".join(rng.choices(string.printable.strip(), k=rng.randrange(1, 12))))
    if "run" in line[:1]:
      line += ["--steps", "20", "--eval-every", "0"]
    timed(acme_command, " ".join(line))


# A full disk.


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_run_resumes_bit_equal_after_a_full_disk(make_run, acme_command, share):
  import run_facts

  settings = {"steps": 900, "checkpoint_every": 50, "eval_every": 100}
  directory, whole = make_run(**settings), make_run("whole", **settings)
  run(whole)
  files = [path.stat().st_size for path in whole.path.rglob("*") if path.is_file()]
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (int(max(files) * share), limit[1]))
  try:
    code, _, error = acme_command(f"resume {directory.path}")
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
  assert code == 1 and "File too large" in error and error.count("\n") == 1
  assert acme_command(f"resume {directory.path}")[0] == 0
  assert run_facts.facts(directory.path) == run_facts.facts(whole.path)
