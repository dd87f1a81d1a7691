"""The page of `miras explore` shows the values of the stages; the menus are those of the schema."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from miras_compiler import compile_spec, load_spec
from miras_compiler.cli import main
from miras_compiler.cli.new import commented
from miras_compiler.elements.kinds import KINDS
from miras_compiler.errors import InputError, Problem, SpecError
from miras_compiler.explore.answers import advice, change, code, comparison, graph, package, start
from miras_compiler.explore.change import changed
from miras_compiler.explore.look import choices_of, cost, look
from miras_compiler.explore.menus import menus
from miras_compiler.spec import Chunk, Gate, Layer, parse_spec
from miras_compiler.spec.parameters import parameters
from miras_compiler.spec.shipped import shipped_specs


def text_of(name: str) -> str:
    return shipped_specs()[name].path.read_text(encoding="utf-8-sig")


@pytest.fixture(scope="module")
def chi() -> dict[str, Any]:
    """A rule that runs token by token."""
    return look(text_of("chi_square_memory"), "chi.yaml")


def test_a_spec_is_shown_as_the_compiler_has_it(chi: dict[str, Any]) -> None:
    made = compile_spec(load_spec("chi_square_memory"))
    assert json.loads(json.dumps(chi, allow_nan=False)) is not None
    assert chi["valid"]
    assert chi["name"] == "chi_square_memory"
    assert chi["form"]["kind"] == "token by token"
    assert chi["form"]["node"] == made.parallel_form.blame
    assert chi["form"]["suggestion"] == made.parallel_form.suggestion != ""
    found = cost(text_of("chi_square_memory"), "chi.yaml")
    assert {row["what"] for row in found["cost"]} > {line.what for line in made.cost if "roofline" not in line.what}
    equations = [row for group in chi["rule"] for row in group["rows"]]
    assert len(equations) > len(made.update_rule.equations())
    assert all(row["math"].startswith("<math>") for row in equations)
    assert chi["graph"].startswith("<svg")
    assert len(chi["lines"]) == len(text_of("chi_square_memory").splitlines())


def test_the_change_of_one_field_makes_it_parallel(chi: dict[str, Any]) -> None:
    key, value = chi["form"]["change"]
    after = change(text_of("chi_square_memory"), "chi.yaml", key, value, None, False)
    assert after["look"]["form"]["kind"] == "triangular solve"
    assert after["look"]["choices"]["retention"]["kind"] == "none"


def test_problems_are_those_of_the_command_line_at_their_lines(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    broken = text_of("titans_lmm").replace("kind: l2, scale: 2", "kind: l3").replace("size: 64", "size: 0").replace("mu:", "nu:")
    (tmp_path / "x.yaml").write_text(broken)
    assert main(["check", str(tmp_path / "x.yaml")]) == 2
    said = capsys.readouterr().err.replace(f"{tmp_path}/", "").splitlines()
    found = look(broken, "x.yaml")
    assert [each["text"] for each in found["problems"]] == said
    assert [each["line"] for each in found["problems"]] == sorted(each["line"] for each in found["problems"])
    assert len(said) == 2
    assert found["choices"]["memory"]["kind"] == "mlp"


@pytest.mark.parametrize(("text", "line"), [("name: [", 1), ("", 1), ("name: a\n\tb: 1", 2), ("a: &x 1", 1), ("name: x\nname: y\n", 2)])
def test_a_text_that_cannot_be_read_has_no_choices(text: str, line: int) -> None:
    found = look(text, "x.yaml")
    assert not found["valid"]
    assert found["choices"] is None
    assert found["problems"][0]["line"] == line


def test_numbers_that_json_has_not_are_shown_as_text() -> None:
    found = look("name: a\nmemory: {kind: matrix, norm: .nan}\ngates: {eta: {init: [.inf]}}\n", "x.yaml")
    assert not found["valid"]
    assert json.dumps(found["choices"], allow_nan=False)


def test_menus_have_every_kind_and_every_field_of_the_schema() -> None:
    found = menus()
    assert {family["key"]: [kind["kind"] for kind in family["kinds"]] for family in found["families"]} == {
        family: list(kinds) for family, kinds in KINDS.items()
    }
    for family in found["families"]:
        for kind in family["kinds"]:
            element = KINDS[family["key"]][kind["kind"]]
            wanted = [(row.name, row.description) for row in parameters(element) if not row.part]
            assert [(field["name"], field["about"]) for field in kind["fields"]] == wanted
            assert kind["formula"] == element.formula
    for part, fields in ((Chunk, found["parts"][0]), (Layer, found["parts"][1]), (Gate, found["gates"])):
        assert [field["name"] for field in fields["fields"]] == [row.name for row in parameters(part) if not row.part]


@pytest.mark.slow
def test_every_field_of_every_kind_can_be_set_to_its_default_or_its_choices() -> None:
    base = commented("mine")
    for family in menus()["families"]:
        for kind in family["kinds"]:
            text = changed(base, "mine.yaml", f"{family['key']}.kind", kind["kind"]).text
            tree = look_tree(text)
            assert tree[family["key"]]["kind"] == kind["kind"]
            for field in kind["fields"]:
                for value in field.get("choices", [field["default"]] if field["default"] is not None else []):
                    text = changed(text, "mine.yaml", f"{family['key']}.{field['name']}", value).text
                    assert look_tree(text)[family["key"]][field["name"]] == value


def look_tree(text: str) -> dict[str, Any]:
    tree = choices_of(text)
    assert tree is not None
    return tree


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        parse_spec(text, "x.yaml")
    except SpecError as error:
        return error.problems
    return ()


@pytest.mark.slow
def test_a_kind_is_called_refused_exactly_where_picking_it_is_refused() -> None:
    text = text_of("titans_lmm")
    found = advice(text, "x.yaml")["refused"]
    for family in ("memory", "optimizer", "retention"):
        for kind, why in found[family].items():
            after = changed(text, "x.yaml", f"{family}.kind", kind).text
            said = ["; ".join(filter(None, (each.what, each.why))) for each in problems_of(after)] or [""]
            assert why in said, (family, kind)


@pytest.mark.slow
def test_a_chaotic_memory_is_warned_of() -> None:
    found = advice(
        text_of("moneta").replace("std: 0.015", "std: fan_in").replace("init: 0.0002, range: [0, 0.002]", "init: 0.02"), "moneta.yaml"
    )
    assert any("chaotic" in each["what"] for each in found["warnings"])
    assert found["warnings"][0]["line"] > 0
    assert found["stability"]


def test_code_is_shown_with_what_its_lines_compute() -> None:
    text = text_of("delta_net")
    made = compile_spec(parse_spec(text, "delta_net.yaml"))
    files = {file.path: file.text for file in made.files}
    for question, path in (
        (code, "recurrent.py"),
        (code, "chunked.py"),
        (code, "derivation.md"),
        (package, "kernels.py"),
        (package, "ops.py"),
    ):
        found = question(text, "delta_net.yaml", path)
        assert len(found["lines"]) == len(files[path].splitlines())
        assert path in found["files"]
    assert set(package(text, "delta_net.yaml", "ops.py")["files"]) == {path for path in files if not path.endswith(".svg")}
    assert code(text, "delta_net.yaml", "recurrent.py")["ties"]
    for path in ("../spec.yaml", "/etc/passwd", "none.py"):
        with pytest.raises(InputError):
            package(text, "delta_net.yaml", path)


@pytest.mark.slow
def test_a_comparison_says_which_spec_is_wrong() -> None:
    good = comparison(
        text_of("huber_delta").replace("name: huber_delta", "name: mine"), "mine.yaml", text_of("delta_net"), "delta_net.yaml"
    )["html"]
    assert re.search(r'<h1>.*"name s0">mine<.*"name s1">delta_net<', good)
    assert "is not compared" not in good
    bad = comparison("name: mine\n", "mine.yaml", text_of("delta_net"), "delta_net.yaml")["html"]
    assert "<b>mine.yaml</b> is not compared" in bad


def test_the_page_begins_with_menus_and_the_zoo() -> None:
    begun = start()
    assert set(begun["zoo"]) == set(shipped_specs())
    assert "every value" not in graph(text_of("delta_net"), "x.yaml", True)["graph"]
    assert look(commented("my_rule"), "my_rule.yaml")["valid"]
