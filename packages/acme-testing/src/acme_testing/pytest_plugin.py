"""The option of `pytest --pyargs acme_testing --acme-agent=NAME`. Without it every other run is left alone."""

import pathlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
  """Adds `--acme-agent`."""
  parser.getgroup("acme").addoption(
    "--acme-agent",
    action="append",
    default=[],
    metavar="NAME",
    help="hold the agent NAME[@BACKEND][:PRESET] to the battery: pytest --pyargs acme_testing --acme-agent=NAME",
  )


def pytest_configure(config: pytest.Config) -> None:
  """Tells pytest of the battery's mark."""
  config.addinivalue_line("markers", 'long: of the battery, most checks of presets; left out by -m "not long"')


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
  """Passes over the battery where no agent is named, as when this package lies among a repository's tests."""
  if collection_path == pathlib.Path(__file__).with_name("test_agent.py") and not config.getoption("--acme-agent"):
    return True
  return None
