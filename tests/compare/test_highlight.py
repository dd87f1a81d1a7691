"""Colours of code on a page: every character stays, and comments, texts, numbers, keywords and names have colours of their own."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from kit.paths import ROOT
from miras_compiler.compare.highlight import highlighted


@pytest.mark.parametrize("path", sorted((ROOT / "generated" / "titans_lmm").iterdir()), ids=lambda path: path.name)
def test_a_marked_file_is_the_file(path: Path) -> None:
    if path.is_file() and path.suffix != ".svg":
        text = path.read_text(encoding="utf-8")
        plain = [html.unescape(re.sub(r"</?i[^<>]*>", "", line)) for line in highlighted(path.name, text)]
        assert plain == text.removesuffix("\n").split("\n")


@pytest.mark.parametrize(
    ("line", "marked"),
    [
        ("@triton.jit", "<f>@triton.jit</f>"),
        ("def f(x: int = 0x1F):", "<k>def</k> <f>f</f>(x: int = <n>0x1F</n>):"),
        ("class A(B): pass", "<k>class</k> <f>A</f>(B): <k>pass</k>"),
        ('y = rf"a\\"b" + x2  # c "q"', 'y = <s>rf"a\\"b"</s> + x2  <c># c "q"</c>'),
        ("z = 1.5e-3 * a @ b", "z = <n>1.5e-3</n> * a @ b"),
        ('"""one # no\n  two"""; if_ = None', '<s>"""one # no</s>\n<s>  two"""</s>; if_ = <k>None</k>'),
        ("'''left open", "<s>'''left open</s>"),
        ("u = '<b>&amp;'", "u = <s>'&lt;b&gt;&amp;amp;'</s>"),
    ],
)
def test_python_is_marked_by_kinds(line: str, marked: str) -> None:
    assert "\n".join(highlighted("a.py", line)) == re.sub(
        r"<(/?)([cfkns])>", lambda tag: "</i>" if tag[1] else f"<i class={tag[2]}>", marked
    )
