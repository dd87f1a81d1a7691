"""docs/write-your-own.md: every command of the page is run, in its order, and prints the page's lines."""

from __future__ import annotations

import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from kit.paths import ROOT
from miras_compiler.cli import main
from miras_compiler.spec import load_spec

PAGE = ROOT / "docs" / "write-your-own.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MEASURED = re.compile(r"\d\.\de[-+]\d\d|\b\d+\.\d+\b")  # errors and seconds of a verification
LEFT_OUT = "…"


def blocks(*kinds: str) -> list[tuple[str, str]]:
    """The fenced blocks of these kinds, in the order of the page."""
    return [(kind, text) for kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if kind in kinds]


def commands(text: str) -> list[tuple[list[str], list[str]]]:
    """The commands of a console block, each with the lines that it prints."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")] + [len(lines)]
    return [(shlex.split(lines[start][2:]), lines[start + 1 : end]) for start, end in pairwise(starts)]


def apply_diff(text: str, diff: str) -> str:
    old, new = ("".join(f"{line[1:]}\n" for line in diff.splitlines() if line[0] == sign) for sign in "-+")
    assert text.count(old) == 1, old
    return text.replace(old, new)


def measured(lines: list[str]) -> list[str]:
    """The lines of a table without numbers that differ from run to run, and without the widths of its columns."""
    return [" ".join(MEASURED.sub("#", line).split()) for line in lines]


def matches(printed: list[str], page: list[str]) -> bool:
    """True if the page's lines are the printed ones, where LEFT_OUT stands for any number of them."""
    if not page:
        return not printed
    if page[0] == LEFT_OUT:
        return any(matches(printed[skipped:], page[1:]) for skipped in range(len(printed) + 1))
    return bool(printed) and printed[0] == page[0] and matches(printed[1:], page[1:])


@pytest.mark.slow
def test_every_command_of_the_page_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", sys.stdout)  # the page shows both
    spec = Path("specs/my_rule.yaml")
    verified = 0
    for kind, text in blocks("console", "diff"):
        if kind == "diff":
            spec.write_text(apply_diff(spec.read_text(), text))
            continue
        for (program, *arguments), page in commands(text):
            assert program == "miras"
            code = main(arguments)
            printed = capsys.readouterr().out.splitlines()
            if arguments[0] == "verify":
                verified, printed, page = verified + 1, measured(printed), measured(page)
            assert matches(printed, page), "\n".join([shlex.join(arguments), *printed])
            assert code == (2 if any(": the generator " in line for line in page) else 0)
    assert verified == 1


@pytest.mark.slow
def test_the_page_ends_with_a_loss_and_a_generator_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main(["new", "my_rule"])
    path = Path("specs/my_rule.yaml")
    for _, diff in blocks("diff"):
        path.write_text(apply_diff(path.read_text(), diff))
    spec = load_spec(path)
    assert (spec.attentional_bias.kind, spec.retention.kind) == ("formula", "bregman")


def test_the_calls_of_the_page_are_python() -> None:
    (_, operator), (_, layer) = blocks("python")
    for text in (operator, layer):
        compile(text, str(PAGE), "exec")
    assert "chunk_my_rule" in operator
    assert "MyRuleLayer" in layer
