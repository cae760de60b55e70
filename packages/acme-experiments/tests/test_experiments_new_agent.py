import os
import subprocess
import sys
import tomllib

import pytest

from acme import plugins
from acme_experiments import new_agent


@pytest.fixture
def package(tmp_path):
  return new_agent.render("my-agent", tmp_path)


def test_the_package_is_whole(package):
  files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
  assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tests/test_agent.py"} <= files
  module = "src/acme_my_agent"
  assert {f"{module}/{name}" for name in ("__init__.py", "config.py", "builder.py", "py.typed")} <= files
  assert {f"{module}/jax/{name}.py" for name in ("networks", "losses", "learning", "acting")} <= files
  project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
  assert project["name"] == "acme-my-agent"
  assert project["entry-points"]["acme.agents"] == {"my-agent": "acme_my_agent:AGENT"}
  for path in package.rglob("*"):
    if path.is_file() and path.name != "LICENSE":
      assert "$" not in path.read_text() and "package/" not in path.read_text()


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
