"""The documentation's own parts: every public name is documented, pictures are those that their script draws."""

import importlib.util
import pathlib
import sys

import pytest

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def _load(path):
  sys.path.insert(0, str(DOCS))
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


api, draw = _load(DOCS / "api.py"), _load(DOCS / "pictures" / "draw.py")


@pytest.mark.parametrize("package", api.packages())
def test_every_public_name_has_a_docstring(package):
  names = [each for module in api.modules(api.load()[package]) for each in api.names(module)]
  assert names or package == "acme-testing", "the reference of this package would be empty"
  assert not api.undocumented(package)


def test_a_docstring_becomes_markdown():
  text = "It.\n\n  y = 2 x\n\nArgs:\n  x: [B], of\n    many.\n  **options: others.\n\nRaises:\n  ValueError: no.\n"
  assert api.markdown(text).split("\n") == [
    "It.", "", "```text", "y = 2 x", "```", "", "", "**Args**", "", "- `x`: [B], of", "  many.",
    "- `**options`: others.", "", "", "**Raises**", "", "- `ValueError`: no.", "",
  ]  # fmt: skip


def test_pictures_are_those_that_are_drawn(tmp_path, monkeypatch):
  monkeypatch.setattr(draw, "FOLDER", tmp_path)
  for picture in draw.PICTURES:
    picture()
  drawn = {path.name: path.read_text() for path in tmp_path.glob("*.svg")}
  assert drawn == {path.name: path.read_text() for path in (DOCS / "pictures").glob("*.svg")}
