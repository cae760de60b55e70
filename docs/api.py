"""Reads the public names of a package from its sources, importing none of it, and writes them as Markdown for Sphinx.

A package's public names are those in its `__all__`, and those of each module that `__all__` names. Where it is empty
(acme-jax, whose modules are imported one by one) all modules are public. A module without `__all__` offers what it
defines, but for names that begin with an underscore.
"""

import functools
import pathlib
import re
from collections.abc import Iterator

import griffe

ROOT = pathlib.Path(__file__).parents[1]
SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")


def packages() -> dict[str, pathlib.Path]:
  """The folder of each package's import package, by distribution."""
  return {path.parents[2].name: path.parent for path in sorted(ROOT.glob("packages/*/src/*/py.typed"))}


@functools.cache
def load() -> dict[str, griffe.Module]:
  """Reads all packages, and where each takes names from another; by distribution."""
  loader = griffe.GriffeLoader(search_paths=[path.parent for path in packages().values()], allow_inspection=False)
  read = {distribution: loader.load(folder.name) for distribution, folder in packages().items()}
  loader.resolve_aliases(external=False)
  return read


def modules(top: griffe.Module) -> Iterator[griffe.Module]:
  """A package, then its public modules."""
  yield top
  exported = [name for name in top.exports or [] if name != "__version__"]
  for name, member in sorted(top.modules.items()):
    if not name.startswith(("_", "test_")) and (name in exported or not exported):
      yield member


def names(module: griffe.Module) -> list[griffe.Object]:
  """What a module offers, less its modules; what it takes from another of ours is that one's."""
  found = [module.members[name] for name in module.exports or [] if name in module.members]
  if module.exports is None:
    found = [each for name, each in module.members.items() if not name.startswith("_") and not each.is_alias]
    found = [each for each in found if not each.is_attribute or each.docstring is not None]
  ours = [each for each in found if not each.is_alias or each.resolved]  # What dm_env has is documented there.
  targets = [each.final_target if each.is_alias else each for each in ours]
  return [each for each in targets if not each.is_module and each.name != "__version__"]


def members(cls: griffe.Class) -> Iterator[griffe.Object]:
  """The public methods and fields of a class, with those of bases that are not public themselves."""
  shown = dict(cls.members)
  for base in cls.mro():
    if base.name.startswith("_") or base.name == "Loop":  # What both environment loops have in common.
      shown = {**base.members, **shown}
  for name, member in shown.items():
    if not name.startswith("_") and (member.is_function or member.docstring is not None):
      yield member


def undocumented(distribution: str) -> list[str]:
  """The public modules, classes and functions of a package that lack a docstring."""
  missing = []
  for module in modules(load()[distribution]):
    missing += [module.path] if module.docstring is None else []
    for each in names(module):
      missing += [each.path] if each.docstring is None and not each.is_attribute else []
  return missing


def markdown(text: str) -> str:
  """A docstring in the house form as Markdown: sections become lists, what is indented becomes code."""
  lines, out = text.splitlines(), []
  i = 0
  while i < len(lines):
    line = lines[i]
    if line.rstrip(":") in SECTIONS and line.endswith(":"):
      i, block = _block(lines, i + 1)
      out += ["", f"**{line[:-1]}**", "", *_entries(block), ""]
    elif line.startswith("  ") and (i == 0 or not lines[i - 1].strip()):
      i, block = _block(lines, i)
      out += ["```text", *block, "```", ""]
    else:
      out.append(line.replace("<", "\\<") if "`" not in line else line)
      i += 1
  return "\n".join(out)


def _block(lines: list[str], start: int) -> tuple[int, list[str]]:
  """The indented lines from `start` on, without their indentation, and where they end."""
  end = start
  while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
    end += 1
  block = lines[start:end]
  while block and not block[-1].strip():
    block.pop()
  indent = min((len(line) - len(line.lstrip()) for line in block if line.strip()), default=0)
  return end, [line[indent:] for line in block]


def _entries(block: list[str]) -> list[str]:
  """`name: what it is` as list items; what is no entry stays a paragraph."""
  out: list[str] = []
  for line in block:
    entry = re.match(r"(\*{0,2}[\w, ]+): (.*)", line)
    out.append(f"- `{entry[1]}`: {entry[2]}" if entry else line if line[:1] == " " or not out else f"  {line}")
  return out


def signature(function: griffe.Function, method: bool = False) -> str:
  """The parameters as the source has them, and what is returned."""
  parameters, star = [], False
  for each in list(function.parameters)[1 if method and "staticmethod" not in function.labels else 0 :]:
    kind = each.kind.value
    if kind == "keyword-only" and not star:
      parameters.append("*")
    star = star or kind in ("keyword-only", "variadic positional")
    prefix = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
    text = prefix + each.name + (f": {_qualified(each.annotation)}" if each.annotation is not None else "")
    has_default = each.default is not None and not prefix
    parameters.append(text + (f" = {each.default}" if has_default else ""))
  returns = f" -> {_qualified(function.returns)}" if function.returns is not None else ""
  return f"({', '.join(parameters)}){returns}"


def _qualified(annotation: str | griffe.Expr) -> str:
  """An annotation with full names, of which Sphinx shows the last part; else a short one links to any that ends so."""
  if isinstance(annotation, griffe.ExprName | griffe.ExprAttribute):
    path = annotation.canonical_path
    return f"~{path}" if "." in path else path
  if isinstance(annotation, griffe.Expr):
    return "".join(map(_qualified, annotation.iterate(flat=False)))
  return annotation


def described(each: griffe.Object, prefix: str) -> str:
  """One name as a directive of Sphinx's Python domain, a class with its members."""
  name = f"{prefix}.{each.name}"
  if each.is_attribute:
    value = str(each.value) if each.value is not None else ""
    shown = [f":value: {value}"] if 0 < len(value) < 60 else []
    return _directive("data", name, *shown, text=_docstring(each))
  if each.is_function:
    return _directive("function", name + signature(each), text=_docstring(each))
  init = each.members.get("__init__")
  text = _docstring(each)
  if init is not None and init.docstring is not None:
    text += "\n\n" + markdown(init.docstring.value.partition("\n\n")[2])  # Less the line that says that it makes one.
  if bases := [str(base) for base in each.bases]:
    text += f"\n\nBases: {', '.join(f'`{base}`' for base in bases)}"
  parts = [text, *(_member(member) for member in members(each))]
  arguments = signature(init, method=True).partition(" -> ")[0] if init is not None and init.is_function else ""
  return _directive("class", name + arguments, text="\n\n".join(parts), colons=4)


def _member(member: griffe.Object) -> str:
  if member.is_attribute:
    annotation = getattr(member, "annotation", None)
    kind = [f":type: {_qualified(annotation)}"] if annotation is not None else []
    return _directive("attribute", member.name, *kind, text=_docstring(member))
  return _directive("method", member.name + signature(member, method=True), text=_docstring(member))


def _docstring(each: griffe.Object) -> str:
  return "" if each.docstring is None else markdown(each.docstring.value)


def _directive(kind: str, head: str, *options: str, text: str, colons: int = 3) -> str:
  fence = ":" * colons
  return "\n".join([f"{fence}{{py:{kind}}} {head}", *options, "", text, fence])


def page(distribution: str) -> str:
  """A package's reference, module by module."""
  top = load()[distribution]
  parts = [f"# API of {distribution}"]
  seen: set[str] = set()
  for module in modules(top):
    parts += [f"## `{module.path}`", _docstring(module)]
    for each in names(module):
      home = f"{each.parent.path}.{each.name}"
      inside = home.startswith(f"{top.path}.") and any(m.path == each.parent.path for m in modules(top))
      if inside and each.parent.path != module.path:
        parts.append(f"- `{module.path}.{each.name}` is {{py:obj}}`{home}`")
      elif (name := f"{module.path}.{each.name}") not in seen:
        seen.add(name)
        parts.append(described(each, module.path))
  return "\n\n".join(parts) + "\n"
