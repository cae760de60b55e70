import os
import subprocess
import sys
import tomllib

import pytest

from acme import plugins
from acme_experiments import new_agent

ALL = [(kind, backend) for kind in new_agent.KINDS for backend in new_agent.KINDS[kind].backends]


@pytest.fixture
def package(tmp_path):
  return new_agent.render("my-agent", tmp_path)


@pytest.mark.parametrize(("kind", "backend"), ALL)
def test_the_package_is_whole(tmp_path, kind, backend):
  package = new_agent.render("my-agent", tmp_path, kind, backend)
  files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
  assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tests/test_agent.py"} <= files
  module = "src/acme_my_agent"
  assert {f"{module}/{name}" for name in ("__init__.py", "config.py", "py.typed")} <= files
  modules = {f"{module}/{backend}/{name}.py" for name in ("__init__", "networks", "losses", "learning", "acting")}
  assert {name for name in files if name.startswith(f"{module}/{backend}/")} == modules
  project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
  assert project["name"] == "acme-my-agent"
  assert project["entry-points"]["acme.agents"] == {"my-agent": "acme_my_agent:AGENT"}
  for path in package.rglob("*"):
    if path.is_file() and path.name != "LICENSE":
      assert "$" not in path.read_text() and "package/" not in path.read_text()
    if path.suffix == ".py":
      compile(path.read_text(), path, "exec")


def test_the_first_template_is_short(package):
  lines = [line for path in package.glob("src/**/*.py") for line in path.read_text().splitlines() if line.strip()]
  assert len(lines) <= 220


def test_the_command_writes_every_kind(acme_command, tmp_path):
  for kind, backend in ALL:
    code, text, error = acme_command(f"new-agent my-{kind}-{backend} --kind {kind} --backend {backend}")
    assert code == 0, error
    assert f"acme-my-{kind}-{backend}" in text
  code, _, error = acme_command("new-agent my-agent --kind queue --backend tf")
  assert code == 2 and "no queue template in tf; there is one in jax" in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["a1", "zebra", "i"])
def test_imports_are_in_order_whatever_the_name(tmp_path, name):
  package = new_agent.render(name, tmp_path)
  for path in package.rglob("*.py"):
    lines = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("from acme")]
    assert lines == sorted(lines), path


@pytest.mark.parametrize("name", ["My-agent", "my_agent", "1agent", "-agent", "agent-", "a--b", "", "a b", "a/b"])
def test_a_name_must_be_one(name, tmp_path):
  with pytest.raises(ValueError, match="cannot be an agent's name"):
    new_agent.render(name, tmp_path)


def test_nothing_is_overwritten(package, acme_command):
  before = (package / "README.md").read_text()
  code, _, error = acme_command("new-agent my-agent")
  assert code == 2 and "exists" in error and (package / "README.md").read_text() == before


def test_its_record_needs_no_backend(package, monkeypatch):
  monkeypatch.syspath_prepend(str(package / "src"))
  import acme_my_agent

  assert isinstance(acme_my_agent.AGENT, plugins.AgentPlugin)
  assert acme_my_agent.AGENT.name == "my-agent"
  with pytest.raises(ValueError, match="min_replay_size"):
    acme_my_agent.MyAgentConfig(min_replay_size=10, max_replay_size=5)


def test_its_own_tests_pass(package):
  pytest.importorskip("acme_jax")
  environment = os.environ | {"PYTHONPATH": str(package / "src")}
  command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package / "tests")]
  done = subprocess.run(command, env=environment, cwd=package, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stdout
