"""A spec's text: YAML 1.2, small, plain, with a place for every key; whatever it is not is refused before it can cost anything."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit.hostile import HOSTILE
from kit.spec_texts import SPEC, edited, told
from miras_compiler.errors import InputError
from miras_compiler.spec import load_spec
from miras_compiler.spec.source import read_source

LONGEST = 256 * 1024


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("12", 12),
        ("-0", 0),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        *((word, word) for word in "yes no on off y 1_000 0b1 1:30 inf nan 1e 0o8 +0x1 2024-01-01".split()),
        ("'1e-3'", "1e-3"),
        ('"true"', "true"),
        ("1" * 50, float("1" * 50)),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, expected: Any) -> None:
    found = read_source(f"value: {text}", "x.yaml").tree["value"]
    assert (found, type(found)) == (expected, type(expected))


def test_not_a_number_is_read_as_such() -> None:
    assert math.isnan(read_source("value: .nan", "x.yaml").tree["value"])


def test_every_key_and_item_has_its_place() -> None:
    source = read_source("# a comment\na: {b: 1, c: [2, {d: 3}]}\ne:\n  - f: 4\n", "x.yaml")
    places = {".".join(map(str, path)): (mark.line, mark.column) for path, mark in source.keys.items()}
    assert places == {"a": (2, 1), "a.b": (2, 5), "a.c": (2, 11), "a.c.0": (2, 15), "a.c.1": (2, 18), "a.c.1.d": (2, 19),
                      "e": (3, 1), "e.0": (4, 5), "e.0.f": (4, 5)}  # fmt: skip
    assert str(source.mark(("a", "c", 1, "nowhere"))) == "x.yaml:2:18"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["x.yaml:1:1: a spec is a mapping of keys; start with `name:`; `miras new NAME` writes one"]),
        ("- a\n", ["x.yaml:1:1: a spec is a mapping of keys; start with `name:`; `miras new NAME` writes one"]),
        (SPEC + "name: y\n", ["x.yaml:8:1: 'name' is given twice; first in line 1; keep one"]),
        (
            SPEC + "chunk: {size: 3, size: 4}\nname: y\n",
            [
                "x.yaml:8:18: 'size' is given twice; first in line 8; keep one",
                "x.yaml:9:1: 'name' is given twice; first in line 1; keep one",
            ],
        ),
        (SPEC + "\tpaper: a\n\n\t\n", ["x.yaml:8:1: a tab, and on 1 more lines; YAML indents with spaces; replace it by spaces"]),
        (SPEC + "paper: &a b\n", ["x.yaml:8:8: an anchor or alias; a spec repeats nothing that is worth one; write the value out"]),
        (SPEC + "paper: *a\n", ["x.yaml:8:8: an anchor or alias; a spec repeats nothing that is worth one; write the value out"]),
        (SPEC + "paper: !!str 3\n", ["x.yaml:8:8: a tag, tag:yaml.org,2002:str; a spec holds plain values only; remove it"]),
        (SPEC + "---\n" + SPEC, ["x.yaml:9:1: a second document; a file holds one spec"]),
        ("%YAML 1.2\n---\n" + SPEC, ["x.yaml:1:1: a directive of YAML, or a '%'; a spec needs none; remove it, or quote the text"]),
        (SPEC + "? [a]\n: b\n", ["x.yaml:8:3: a key must be plain text"]),
        (SPEC + "chunk: {size: 3\n", ["x.yaml:9:1: not YAML: expected ',' or '}', but got '<stream end>'"]),
        (SPEC + "paper: a: b\n", ["x.yaml:8:9: not YAML: mapping values are not allowed here"]),
        (SPEC + "paper: a\0b\n", ["x.yaml:8:9: a control character, U+0000; YAML is text"]),
        (SPEC + 'paper: "\\UFFFFFFFF"\n', ["x.yaml:8:9: an escape that stands for no character; YAML is text"]),
        (SPEC + 'ledger: [1,\n "a\\n\\UFFFFFFFF"]\n', ["x.yaml:9:6: an escape that stands for no character; YAML is text"]),
        (SPEC + '"\\ud800": 1\n', ["x.yaml:8:1: an escape that stands for no character; YAML is text"]),
        (SPEC + 'paper: "a \\udfff"\n', ["x.yaml:8:8: an escape that stands for no character; YAML is text"]),
        (SPEC + "ledger: [" + "1," * 6000 + "1]\n", ["x.yaml:8:9986: more than 5000 values"]),
        (SPEC + "paper: " + "[" * 10_000, ["x.yaml:8:72: brackets nested deeper than 64"]),
        (SPEC + "paper: " + "{a: " * 10_000, ["x.yaml:8:264: brackets nested deeper than 64"]),
        (SPEC + "ledger:\n  " + "- " * 10_000, ["x.yaml:9:129: nested deeper than 64"]),
        (SPEC + "#" * LONGEST, [f"x.yaml:8:{LONGEST - len(SPEC) + 1}: longer than 256 KiB; a spec is a page of text"]),
        (SPEC + "#" + "é" * (LONGEST // 2),
         [f"x.yaml:8:{(LONGEST - len(SPEC) - 1) // 2 + 2}: longer than 256 KiB; a spec is a page of text"]),
        (SPEC + '"\\e[31m\\n": 1\n', [r"x.yaml:8:1: unknown key '\x1b[31m\n'; choose from attentional_bias, chunk, feature_map, gates, "
                                      "layer, ledger, memory, model, name, optimizer, paper, retention"]),
    ],
    ids=lambda value: value[-30:].strip() if isinstance(value, str) else "",
)  # fmt: skip
def test_text_that_is_no_spec_is_told_with_its_place(text: str, lines: list[str]) -> None:
    assert told(text) == lines


def test_text_of_just_256_kib_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SPEC + "#" * (LONGEST - len(SPEC)))
    assert load_spec(path).name == "x"


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SPEC.replace("\n", "\r\n").encode())
    assert load_spec(path) == load_spec_of(tmp_path, SPEC)


def load_spec_of(folder: Path, text: str) -> Any:
    (folder / "y.yaml").write_text(text)
    return load_spec(folder / "y.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: \xff\n", "x.yaml:1:7: byte 6, 0xff, is not UTF-8; save the spec as UTF-8 text"),
        (b"\xef\xbb\xbf# \xc3\xa9\r\nname: \xe9\n", "x.yaml:2:7: byte 15, 0xe9, is not UTF-8; save the spec as UTF-8 text"),
        (b"#" * LONGEST + b"\xc3\xa9", f"x.yaml:1:{LONGEST + 1}: longer than 256 KiB"),
        (None, "cannot be read: Is a directory; name a spec file"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_spec(path)


BOMB = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*{f'b{i - 1}' if i else 'a'}, *{f'b{i - 1}' if i else 'a'}]\n" for i in range(40)) + SPEC
FILES = {
    "system": SPEC + "paper: !!python/object/apply:os.system ['touch pwned']\n",
    "bomb": BOMB,
    "ten megabytes": SPEC + "# x\n" * 2_500_000,
    "brackets": SPEC + "paper: " + "[" * 10_000 + "]" * 10_000,
    "words": SPEC + "paper: " + "a " * 120_000,
    **{
        f"formula, {name}": edited(("{kind: l2}\nret", f"{{kind: formula, loss: {HOSTILE[name]!r}}}\nret"))
        for name in ("import", "attribute", "parentheses", "tower", "exponentials", "many", "long number")
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_hostile_file_costs_nothing_and_is_told_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "miras_compiler", "check", "x.yaml"]
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert child.returncode == 2
    assert child.stdout == ""
    assert child.stderr.startswith("x.yaml:")
    assert (child.stderr.count("\n"), len(child.stderr) < 300) == (1, True)
    assert "Traceback" not in child.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3  # seconds of the processor
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]
    assert (tmp_path / "x.yaml").read_text() == text


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_value_of_an_option_is_told_in_one_line(text: str) -> None:
    (line,) = told(SPEC, {"attentional_bias.loss": text, "attentional_bias.kind": "formula"})
    assert line.startswith("--set attentional_bias.loss: in the formula, column ")
    assert len(line) < 200
