"""The output of the commands: help, lists, schema, plain text in pipes, colours in a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from miras_compiler import __version__
from miras_compiler.cli import main
from miras_compiler.cli.app import COMMANDS
from miras_compiler.console import PrintedRow, show_table
from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec.source import read_source

MIRAS = [sys.executable, "-m", "miras_compiler"]
VERBS = "new list check explain compare explore graph compile verify bench train eval sample surprise sweep schema".split()
ESCAPE = "\x1b"
BOXES = "─│╭╮╰╯━┃┏┓└┘"


def in_terminal(arguments: list[str], **environment: str) -> str:
    """The output of `miras` in a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    settings = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "CI")}
    settings |= {"TERM": "xterm-256color", "COLUMNS": "80", **environment}
    child = subprocess.Popen([*MIRAS, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=settings)
    os.close(theirs)
    printed = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not read:
            break
        printed += read
    os.close(ours)
    assert child.wait(timeout=60) in (0, 2)
    return printed.decode()


def in_pipe(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MIRAS, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_every_verb_is_there() -> None:
    assert [name for name, _, _ in COMMANDS] == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_has_examples_that_name_it(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: miras {verb}" in text
    examples = text.partition("Examples:\n")[2].splitlines()
    assert examples
    assert all(line.strip().startswith(f"miras {verb}") for line in examples)


@pytest.mark.parametrize("verb", ["check", "explain", "graph", "compile", "verify"])
def test_every_verb_that_takes_a_spec_takes_settings(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([verb, "--help"])
    assert "--set KEY=VALUE" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["list", "check", "explain", "compile", "verify"])
def test_every_verb_that_prints_results_prints_them_as_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([verb, "--help"])
    assert "--json" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"miras {__version__}\n"


def test_list_shows_every_kind_with_its_formula_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for family, kinds in KINDS.items():
        section = text.partition(f"{family}\n")[2].partition("\n\n")[0].splitlines()[1:]
        assert len(section) == len(kinds)
        for line, (kind, element) in zip(section, kinds.items(), strict=True):
            assert line.startswith(kind)
            assert element.formula in line
            assert line.endswith(element.citation)


@pytest.mark.parametrize("kind", sorted({kind for kinds in KINDS.values() for kind in kinds}))
def test_list_of_a_kind_shows_its_parameters_and_an_example_that_is_right(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind]) == 0
    text = capsys.readouterr().out
    assert main(["list", kind, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == [family for family, kinds in KINDS.items() if kind in kinds]
    for family, facts in listed.items():
        element = KINDS[family][kind]
        assert f"  {facts['example']}\n" in text
        tree = read_source(facts["example"], "example").tree[family]
        assert element.model_validate(tree).kind == kind
        names = {field.alias or name for name, field in element.model_fields.items()} - {"kind"}
        assert {parameter["name"] for parameter in facts["parameters"]} == names
        assert set(tree) == {"kind", *(each["name"] for each in facts["parameters"] if each["default"] != "null")}
        assert all(parameter["description"] in " ".join(text.split()) for parameter in facts["parameters"])


def test_an_unknown_name_to_list_is_told_with_the_nearest_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "Hubber"]) == 2
    assert capsys.readouterr().err == "unknown family or kind 'Hubber'; did you mean 'huber'?\n"


def test_list_of_one_family_shows_that_family_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "optimizer", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["optimizer"]


def test_list_as_json_holds_the_same_facts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {family: [entry["kind"] for entry in entries] for family, entries in listed.items()} == {
        family: list(kinds) for family, kinds in KINDS.items()
    }
    assert all(entry["formula"] and entry["citation"] for entries in listed.values() for entry in entries)


def test_schema_is_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "fits"), [("", False), ("80", True)])
def test_a_pipe_gets_plain_text_which_is_as_wide_as_COLUMNS_says(columns: str, fits: bool) -> None:
    printed = in_pipe(["list"], COLUMNS=columns)
    assert printed.returncode == 0
    assert ESCAPE not in printed.stdout
    assert not set(BOXES) & set(printed.stdout)
    assert (max(map(len, printed.stdout.splitlines())) <= 80) == fits


@pytest.mark.slow
def test_a_message_in_a_pipe_is_one_line_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / ("a_long_name_" * 8 + ".yaml")
    path.write_text("name: x\nmemory: {kind: matrx}\nattentional_bias: {kind: l2}\ngates: {eta: {}}\n")
    printed = in_pipe(["check", str(path)], COLUMNS="40")
    assert printed.stderr.startswith(f"{path}:2:10: unknown memory 'matrx'; did you mean 'matrix'?")
    assert printed.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_terminal_gets_colours_and_boxes() -> None:
    printed = in_terminal(["list", "memory"])
    assert ESCAPE in printed
    assert set(BOXES) & set(printed)
    assert all(kind in printed for kind in KINDS["memory"])


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("arguments", [["list", "memory"], ["--help"], ["list", "nothing"], ["chek"]], ids=" ".join)
def test_a_terminal_without_colours_gets_plain_text(environment: dict[str, str], arguments: list[str]) -> None:
    printed = in_terminal(arguments, **environment)
    assert ESCAPE not in printed
    assert not set(BOXES) & set(printed)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_help_in_a_terminal_keeps_the_lines_of_examples(verb: str) -> None:
    printed = in_terminal([verb, "--help"], COLUMNS="120", NO_COLOR="")
    assert printed.partition("Examples:")[2].count(f"miras {verb}") == sum(len(lines) for name, _, lines in COMMANDS if name == verb)


def test_columns_of_a_plain_table_are_aligned_under_combining_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    show_table("title", ("a", "b"), [PrintedRow(("k\u0302", "x")), PrintedRow(("long", "y"))])
    assert printed.getvalue() == "title\na     b\nk\u0302     x\nlong  y\n"


def test_a_plain_table_is_folded_to_the_columns_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setenv("COLUMNS", "24")
    show_table("", ("a", "words"), [PrintedRow(("1", "some words that go on and on"), note="a note that is long, too, and folded")])
    assert printed.getvalue() == ("a  words\n1  some words that go on\n   and on\n    a note that is long,\n    too, and folded\n")


def test_square_brackets_in_a_table_are_text() -> None:
    """Rich reads [x] as markup; a domain such as [0, 1] and a list must survive."""
    script = "from miras_compiler.console import *; show_table('[t]', ('c',), [PrintedRow(('[red]',))])"
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", script], stdout=theirs, env={**os.environ, "TERM": "xterm", "NO_COLOR": ""}):
        os.close(theirs)
        printed = b""
        while b"red" not in printed:
            printed += os.read(ours, 65536)
    os.close(ours)
    assert b"[red]" in printed
    assert b"[t]" in printed
