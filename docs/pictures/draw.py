"""Draws the pictures of the documentation: boxes and arrows, readable in light and dark, by themselves or in a page.

python docs/pictures/draw.py        # writes the .svg files beside this one
"""

import html
import pathlib

FOLDER = pathlib.Path(__file__).parent

# Colours follow the page's theme where a picture is part of one, else what the reader's system prefers.
_LIGHT = "--ink:#1d2433;--soft:#55607a;--line:#7a849c;--own:#dbe7ff;--given:#eef0f4;--seen:#dff3e4;--edge:#4a6fc4"
_DARK = "--ink:#e8ebf2;--soft:#aab3c7;--line:#8b95ab;--own:#24365e;--given:#2b303b;--seen:#1f4030;--edge:#7f9fe8"
_STYLE = f"""
.acme-picture {{{_LIGHT};max-width:100%;height:auto;font-family:system-ui,sans-serif}}
@media (prefers-color-scheme:dark) {{.acme-picture {{{_DARK}}}}}
body[data-theme=light] .acme-picture {{{_LIGHT}}}
body[data-theme=dark] .acme-picture {{{_DARK}}}
.acme-picture rect {{stroke:var(--edge);stroke-width:1.4;rx:8px}}
.acme-picture .own {{fill:var(--own)}} .acme-picture .given {{fill:var(--given);stroke:var(--line)}}
.acme-picture .seen {{fill:var(--seen);stroke:var(--line)}}
.acme-picture .group {{fill:none;stroke:var(--line);stroke-dasharray:5 4}}
.acme-picture path {{fill:none;stroke:var(--line);stroke-width:1.8}}
.acme-picture marker path {{fill:var(--line);stroke:none}}
.acme-picture text {{fill:var(--ink);font-size:15px;text-anchor:middle}}
.acme-picture .small {{fill:var(--soft);font-size:12.5px}} .acme-picture .left {{text-anchor:start}}
.acme-picture .code {{font-family:ui-monospace,monospace;font-size:12.5px}}
"""


class Picture:
  """An SVG of `width` × `height` units, with a description for those who do not see it."""

  def __init__(self, name: str, width: int, height: int, title: str) -> None:
    self._name, self._size, self._title = name, (width, height), title
    self._parts: list[str] = []

  def text(self, x: float, y: float, text: str, kind: str = "") -> None:
    """Writes one line, its middle at x, or its beginning with the kind "left"."""
    self._parts.append(f'<text x="{x:g}" y="{y:g}" class="{kind}">{html.escape(text)}</text>')

  def box(self, x: float, y: float, w: float, h: float, title: str, *lines: str, kind: str = "own") -> None:
    """A titled box, and smaller lines below the title. Kinds: own (the agent's), given (the library's), seen (data)."""
    self._parts.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" class="{kind}"/>')
    top = y + h / 2 + 5 - 9 * len(lines)
    self.text(x + w / 2, top, title)
    for i, line in enumerate(lines):
      self.text(x + w / 2, top + 19 + 17 * i, line, "small")

  def group(self, x: float, y: float, w: float, h: float, title: str) -> None:
    """A dashed frame around others, its title within at the top."""
    self._parts.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" class="group"/>')
    self.text(x + 12, y + 20, title, "small left")

  def arrow(self, *points: tuple[float, float], label: str = "", at: tuple[float, float] | None = None) -> None:
    """A line through the points that ends in a head; `label` stands at `at`, else above the first part's middle."""
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
    self._parts.append(f'<path d="{path}" marker-end="url(#{self._name}-head)"/>')
    if label:
      (x0, y0), (x1, y1) = points[:2]
      x, y = at if at is not None else ((x0 + x1) / 2, (y0 + y1) / 2 - 8)
      self.text(x, y, label, "small")

  def write(self) -> None:
    """Writes NAME.svg."""
    w, h = self._size
    lines = [
      f'<svg xmlns="http://www.w3.org/2000/svg" class="acme-picture" viewBox="0 0 {w} {h}" width="{w}" height="{h}"'
      f' role="img" aria-label="{html.escape(self._title)}">',
      f"<style>{_STYLE}</style>",
      f'<defs><marker id="{self._name}-head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
      ' orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z"/></marker></defs>',
      *self._parts,
      "</svg>",
    ]
    (FOLDER / f"{self._name}.svg").write_text("\n".join(lines) + "\n")


def loop() -> None:
  """The environment and the agent, who take turns."""
  p = Picture(
    "loop", 760, 300, "An environment and an agent in a loop; within the agent an actor, a replay and a learner"
  )
  p.box(10, 95, 130, 70, "environment", "dm_env", kind="seen")
  p.box(200, 95, 150, 70, "EnvironmentLoop", "counts, logs, stops", kind="given")
  p.group(455, 10, 295, 280, "agent")
  p.box(470, 45, 105, 60, "actor", "a ~ π(o)")
  p.box(625, 45, 115, 60, "adder", "steps → items", kind="given")
  p.box(625, 205, 115, 60, "replay", "items → batches", kind="given")
  p.box(470, 205, 105, 60, "learner", "θ ← update")
  p.arrow((140, 115), (200, 115), label="o, r, d", at=(170, 105))
  p.arrow((200, 147), (140, 147), label="a", at=(170, 165))
  p.arrow((350, 115), (410, 115), (410, 65), (470, 65), label="observe", at=(410, 55))
  p.arrow((470, 90), (430, 90), (430, 147), (350, 147), label="select_action", at=(403, 166))
  p.arrow((575, 75), (625, 75), label="step")
  p.arrow((682, 105), (682, 205), label="items", at=(704, 160))
  p.arrow((625, 225), (575, 225), label="batch")
  p.arrow((575, 250), (625, 250), label="priorities", at=(600, 281))
  p.arrow((522, 205), (522, 105), label="variables", at=(555, 160))
  p.write()


def experience() -> None:
  """What the steps of an episode become, for each kind of experience."""
  p = Picture(
    "experience", 720, 330, "Seven steps of an episode; transitions, sequences and queued sequences cut from them"
  )
  p.text(60, 42, "episode")
  for i in range(7):
    p.box(125 + 84 * i, 18, 66, 40, f"o{i}, a{i}" if i < 6 else "o6", kind="seen")
    if i < 6:
      p.arrow((191 + 84 * i, 38), (209 + 84 * i, 38))
  p.text(10, 100, "Transitions", "left")
  p.text(10, 117, "n = 3", "small left")
  for i, y in ((0, 88), (1, 104), (2, 120)):
    p.arrow((158 + 84 * i, y), (158 + 84 * (i + 3), y))
  p.text(640, 108, "one a step; uniform", "small")
  p.text(640, 124, "or by priority", "small")
  p.text(10, 180, "Sequences", "left")
  p.text(10, 197, "length 4, period 2", "small left")
  for i, y in ((0, 162), (2, 182)):
    p._parts.append(f'<rect x="{125 + 84 * i}" y="{y}" width="{66 + 84 * 3}" height="14" class="own"/>')
  p.text(400, 220, "overlapping, each step stored once; the core's state of the first step beside them", "small")
  p.text(10, 270, "Queue", "left")
  p.text(10, 287, "length 4", "small left")
  for i, y in ((0, 258), (3, 278)):
    p._parts.append(f'<rect x="{125 + 84 * i}" y="{y}" width="{66 + 84 * 3}" height="14" class="own"/>')
  p.text(400, 316, "each sequence once, oldest first, ends shared", "small")
  p.write()


def program() -> None:
  """The pure functions of an agent, and who calls them."""
  p = Picture(
    "program", 720, 250, "A program of pure functions in the middle; config and spec make it, host and device run it"
  )
  p.box(10, 50, 160, 60, "config", "frozen dataclass")
  p.box(10, 140, 160, 60, "EnvironmentSpec", "shapes, dtypes, bounds", kind="seen")
  p.group(205, 12, 275, 226, "Program")
  rows = (
    "init(key) → state",
    "update(state, sample) → state",
    "params(state)",
    "behaviour, evaluation: Policy",
    "priority(sequence)",
  )
  for i, row in enumerate(rows):
    p._parts.append(f'<rect x="220" y="{42 + 38 * i}" width="245" height="30" class="own"/>')
    p.text(342, 62 + 38 * i, row, "code")
  p.arrow((170, 80), (188, 80), (188, 112), (205, 112))
  p.arrow((170, 170), (188, 170), (188, 138), (205, 138), label="make_program", at=(95, 130))
  p.box(545, 25, 165, 52, "Actor and Learner", "the host's loop", kind="given")
  p.box(545, 99, 165, 52, "jitted loop", "device, many seeds", kind="given")
  p.box(545, 173, 165, 52, "LearningLoop", "a dataset, nobody acts", kind="given")
  for y in (51, 125, 199):
    p.arrow((480, y), (545, y))
  p.write()


def modes() -> None:
  """One agent, and the ways to run it."""
  p = Picture("modes", 760, 304, "One agent's builder, and six ways to run it, each with its line of code")
  p.box(12, 114, 150, 76, "DQN(spec)", "one builder,", "its code unchanged")
  rows = (
    ("one environment", "EnvironmentLoop(environment, agent)"),
    ("many environments", "VectorEnvironmentLoop(environments, agent)"),
    ("wholly on the device", "acme_anakin.run.run(builder, …, seeds=64)"),
    ("processes on Ray", 'acme_ray.run("dqn", …, num_actors=4)'),
    ("a replay server", "DQN(spec, replay=ReverbReplay)"),
    ("a dataset, nobody acts", "LearningLoop(agent.learner)"),
  )
  for i, (name, code) in enumerate(rows):
    y = 10 + 49 * i
    p.box(238, y, 190, 39, name, kind="given")
    p.text(446, y + 24, code, "code left")
    p.arrow((162, 152), (198, 152), (198, y + 19.5), (238, y + 19.5))
  p.write()


PICTURES = (loop, experience, program, modes)

if __name__ == "__main__":
  for draw in PICTURES:
    draw()
