"""Builds the site under build/site/html: `python docs/site/build.py`, or `make docs`.

Pages are README, the pages of docs/, and one page a spec, made of its package in generated/: nothing is compiled. Links between files of
the project become links between pages; a file that is no page is copied beside them; mkdocs refuses a link that leads nowhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from miras_compiler.compare.mathml import mathml
from miras_compiler.spec.zoo import Shipped, read_zoo

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "docs" / "site"
PAGES = ROOT / "build" / "site" / "pages"
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)\s#]+)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^\$\$\n(.*?)\n\$\$$", re.MULTILINE | re.DOTALL)
ALIGNED = re.compile(r"\\begin\{aligned\}\n(.*)\n\\end\{aligned\}", re.DOTALL)
INLINE = re.compile(r"(?<![\\$`])\$([^$`\n]+)\$")
GUIDES = tuple(sorted((ROOT / "docs").glob("*.md")))


def build() -> int:
    """Writes the pages, and runs mkdocs; returns its exit code."""
    shutil.rmtree(PAGES, ignore_errors=True)
    (PAGES / "specs").mkdir(parents=True)
    for name in ("site.css", "space.js"):
        shutil.copy(SITE / name, PAGES / name)
    write("index.md", linked((ROOT / "README.md").read_text(encoding="utf-8"), ROOT, "index.md"))
    for guide in GUIDES:
        write(guide.name, linked(guide.read_text(encoding="utf-8"), guide.parent, guide.name))
    zoo = read_zoo()
    write("space.md", space(zoo))
    for name, entry in zoo.items():
        write(f"specs/{name}.md", spec_page(name, entry))
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", str(SITE / "mkdocs.yml")]
    return subprocess.call(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})


def write(name: str, text: str) -> None:
    place = PAGES / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


def linked(text: str, folder: Path, page: str) -> str:
    """The text with links to files of the project as links of the site, and with mathematics that needs no script."""
    parts, at = [], 0
    for fence in FENCED.finditer(text):
        parts += [_linked(text[at : fence.start()], folder, page), fence.group()]
        at = fence.end()
    return "".join([*parts, _linked(text[at:], folder, page)])


def _linked(text: str, folder: Path, page: str) -> str:
    text = BLOCK.sub(lambda found: "\n" + displayed(found[1]) + "\n", text)
    text = INLINE.sub(lambda found: f"<math>{mathml(found[1])}</math>", text)
    return LINK.sub(lambda found: target(folder / found[1], page), text)


def displayed(latex: str) -> str:
    """Equations in lines of their own, each aligned one by itself."""
    rows = ALIGNED.fullmatch(latex)
    lines = rows[1].replace("&", "").split("\\\\\n") if rows else [latex]
    return "\n".join(f'<math display="block">{mathml(line.strip())}</math>' for line in lines)


def target(path: Path, page: str) -> str:
    """The address of a project's file on the site, relative to a page."""
    path = Path(os.path.normpath(path))
    inside = path.relative_to(ROOT)
    if inside.parts[0] == "specs" and path.suffix == ".yaml":
        place = f"specs/{path.stem}.md"
    elif path in GUIDES:
        place = path.name
    elif path == ROOT / "README.md":
        place = "index.md"
    elif path.is_file():
        place = f"files/{inside}" + (".txt" if path.suffix in (".md", ".py", ".toml", ".json", ".jsonl", ".yaml") else "")
        (PAGES / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, PAGES / place)
    else:
        place = "space.md"  # a folder, of specs or of packages
    return os.path.relpath(place, Path(page).parent)


def space(zoo: dict[str, Shipped]) -> str:
    rows = [
        f"| [{name}](specs/{name}.md)<br>{entry.paper} | {entry.memory} | {entry.attentional_bias} | {entry.retention} | {entry.optimizer} "
        f"| {entry.form.replace('_', ' ')} | {entry.state:,} |"
        for name, entry in zoo.items()
    ]
    head = "| name | memory | attentional bias | retention | optimizer | parallel form | state, bytes |"
    table = "\n".join([head, "|---" * 7 + "|", *rows])
    begin = "---\nhide: [toc]\n---\n\n# The design space\n\nEvery spec that comes with the compiler."
    return f'{begin}\n\n<div id="space" markdown>\n\n{table}\n\n</div>\n'


def spec_page(name: str, entry: Shipped) -> str:
    folder = ROOT / "generated" / name
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    form = manifest["parallel_form"]
    derivation = (folder / "derivation.md").read_text(encoding="utf-8").partition("\n## ")[2]
    page = f"specs/{name}.md"
    shutil.copy(folder / "graph.svg", PAGES / "specs" / f"{name}.svg")
    cost = "\n".join(f"| {line['what']} | {line['value']:,} | {line['unit']} |" for line in manifest["cost"])
    spec = (ROOT / "specs" / f"{name}.yaml").read_text(encoding="utf-8-sig").rstrip()
    code = {path: (folder / path).read_text(encoding="utf-8").rstrip() for path in ("chunked.py", "recurrent.py")}
    files = "\n\n".join(f'??? note "{path}"\n\n' + indented(f"```python\n{text}\n```") for path, text in code.items())
    return f"""# {name}

{entry.paper}

**{form["kind"].replace("_", " ")}**: {form["reason"]}.

## Spec and ledger

```yaml
{spec}
```

## Graph

<div class="graph"><img src="{name}.svg" alt="what {name} computes from what"></div>

## Rule

{linked("### " + deeper(derivation), folder, page)}

## Cost

| of a token and head | | |
|---|---|---|
{cost}

## Results

{results(name, manifest["digest"], entry)}

## Code

{files}
"""


def deeper(text: str) -> str:
    """Headings one level further down."""
    return re.sub(r"^(#+ )", r"#\1", text, flags=re.MULTILINE)


def indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def results(name: str, digest: str, entry: Shipped) -> str:
    """The stability, and the committed tables of measurements that name the spec or its digest."""
    named = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)|{digest}")
    tables = [path for path in sorted((ROOT / "benchmarks" / "results").glob("*.txt")) if named.search(path.read_text(encoding="utf-8"))]
    found = [f"- [{path.stem}]({target(path, f'specs/{name}.md')})" for path in tables] or ["- no table of measurements names it"]
    return "\n".join([f"- a change of 0.1 % in token 0 changes the outputs up to token 255 by {100 * entry.late:.2g} %", *found])


if __name__ == "__main__":
    sys.exit(build())
