"""Settings of the documentation: `nox -s docs` builds it, `nox -s tutorials` with the tutorials' outputs."""

import os
import pathlib
import sys

DOCS = pathlib.Path(__file__).parent
sys.path.insert(0, str(DOCS))

import generate  # noqa: E402

generate.write()

project = "Acme's heir"
author = "The authors of Acme's heir"
version = release = generate.version("acme-core")
extensions = ["myst_nb", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["_build", "README.md"]

html_theme = "furo"
html_title = "Acme's heir"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"sidebar_hide_name": False}
python_maximum_signature_line_length = 80
add_module_names = False
toc_object_entries = False  # Of a thousand names, on each page: it takes minutes.

myst_enable_extensions = ["colon_fence", "substitution"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Each tutorial named in TUTORIALS, or all, is run; the others are shown without outputs.
_asked = os.environ.get("TUTORIALS", "").split()
_all = sorted(path.stem for path in (DOCS / "tutorials").glob("*.md") if path.stem != "index")
nb_execution_mode = "force" if _asked else "off"
nb_execution_excludepatterns = [] if "all" in _asked else [f"tutorials/{n}.md" for n in _all if n not in _asked]
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove"

linkcheck_timeout = 20
linkcheck_anchors = False


def _read(app, docname, source) -> None:
  """Links of pages that lie in docs/ and are read on GitHub too; and pages that the first one does not name yet."""
  if docname == "index":
    pages = sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "index")
    others = [page for page in pages if f"\n{page}\n" not in source[0]]
    source[0] = source[0].replace("(other pages)\n", "".join(f"{page}\n" for page in others))
  if not docname.startswith("generated/"):
    source[0] = generate.relink(source[0], DOCS / f"{docname}.md", docname)


def setup(app) -> None:
  """Called by Sphinx."""
  app.connect("source-read", _read)
