"""The compiler as a library: public names, the texts of values, and the errors of calls for values of wrong types."""

from __future__ import annotations

import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import miras_compiler
from kit.paths import SPECS
from miras_compiler import (
    Chunk,
    Compilation,
    Gate,
    InputError,
    L2Bias,
    L2Retention,
    Layer,
    LpBias,
    MatrixMemory,
    MemoryInit,
    MLPMemory,
    Spec,
    SpecError,
    build_spec,
    check_spec,
    compile_spec,
    load_spec,
)
from miras_compiler.elements.kinds import KINDS


def untyped(part: type) -> Any:
    """A class as those see it who run no type checker."""
    return part


@cache
def yaad() -> Compilation:
    return compile_spec(load_spec(SPECS / "yaad.yaml"))


def test_every_part_of_a_spec_has_a_public_name() -> None:
    public = set(miras_compiler.__all__)
    classes = {element.__name__ for kinds in KINDS.values() for element in kinds.values()}
    assert classes | {"Spec", "Chunk", "Gate", "Layer", "LedgerEntry", "MemoryInit", "Tie", "TieGate"} <= public
    assert {"write_package", "render", "normalized_yaml"} <= public
    homes = {name: module for module, names in miras_compiler.HOMES.items() for name in names.split()}
    assert set(homes) | {"__version__"} == public == set(dir(miras_compiler))
    for name, module in homes.items():
        assert getattr(miras_compiler, name) is getattr(importlib.import_module(f"miras_compiler.{module}"), name)


@pytest.mark.slow
def test_values_show_themselves_in_a_line() -> None:
    compilation = yaad()
    for value in (
        compilation,
        compilation.spec,
        compilation.update_rule,
        compilation.update_rule.step,
        compilation.parallel_form,
        compilation.program,
        compilation.adjoint,
        compilation.schedule,
        *compilation.files,
    ):
        assert len(repr(value)) < 800, type(value)
    assert repr(compilation.spec) == "Spec(yaad: mlp memory, yaad_switch bias, l2 retention, gradient_descent)"
    assert repr(compilation).startswith("Compilation(yaad: dual, ")


def test_a_notebook_shows_rule_form_and_graph() -> None:
    compilation = yaad()
    page = compilation._repr_html_()
    assert "∂ℓ/∂u" in page
    assert compilation.parallel_form.reason in page
    assert ElementTree.fromstring(compilation._repr_svg_()).tag.endswith("svg")
    ElementTree.fromstring(f"<div>{page.replace('&nbsp;', ' ')}</div>")  # every element is closed
    assert compilation._repr_latex_() == compilation.update_rule._repr_latex_()
    assert compilation._repr_latex_().startswith("$$\n\\begin{aligned}")
    assert compilation.update_rule._repr_html_().startswith("<pre>")


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ("specs/yaad.yaml", r"not the path 'specs/yaad\.yaml'; write compile_spec\(load_spec\('specs/yaad\.yaml'\)\)"),
        (Path("specs/yaad.yaml"), r"write compile_spec\(load_spec\('specs/yaad\.yaml'\)\)"),
        ({"name": "x"}, r"not a mapping of keys; write compile_spec\(build_spec\("),
        ("name: x\nmemory: {kind: matrix}", r"not the text of one; write compile_spec\(parse_spec\("),
        (None, r"compile_spec takes a Spec, not NoneType"),
    ],
)
def test_compile_spec_of_something_else_says_which_call_makes_a_spec_of_it(given: Any, instead: str) -> None:
    with pytest.raises(InputError, match=instead):
        compile_spec(given)


def test_other_calls_say_what_they_take() -> None:
    calls: dict[str, tuple[Any, Any]] = {
        "check_spec takes a Spec": (check_spec, "specs/yaad.yaml"),
        "load_spec takes the path of a spec file, not a mapping": (load_spec, {"name": "x"}),
        "this is a Spec already": (load_spec, yaad().spec),
        "build_spec takes a mapping of keys, not text": (build_spec, "specs/yaad.yaml"),
    }
    for said, (call, given) in calls.items():
        with pytest.raises(InputError, match=said):
            call(given)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: LpBias(p=0.5), "attentional_bias.p: attentional_bias.p should be greater than or equal to 1, not 0.5; below p = 1 "),
        (lambda: LpBias.model_validate({"power": 3}), "attentional_bias.power: unknown key 'power'; choose from clip, kind, p, "),
        (lambda: Chunk(size=0), "chunk.size: chunk.size should be greater than or equal to 1, not 0; a chunk holds at least one token"),
        (lambda: untyped(Layer)(heads="8"), "layer.heads: layer.heads should be a whole number, not '8'"),
        (lambda: untyped(Gate)(per="heads"), "gate.per: unknown per 'heads'; did you mean 'head'?"),
        (lambda: MemoryInit(std=0), "memory.init.std: memory.init.std should be "),
        (lambda: untyped(MLPMemory)(expansion=2, init={"std": -1.0}), "memory.init.std: memory.init.std should be "),
        (lambda: yaad().spec.chunk.model_copy(update={"size": 0}), "chunk.size: chunk.size should be greater than or equal to 1, not 0"),
    ],
)
def test_a_part_that_is_wrong_is_a_spec_error_when_it_is_built(build: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        build()
    assert str(caught.value).startswith(said)


def test_a_spec_that_is_wrong_is_a_spec_error_when_it_is_built() -> None:
    parts: dict[str, Any] = {"name": "x", "memory": MatrixMemory(), "attentional_bias": L2Bias()}
    with pytest.raises(SpecError, match=r"^gates: the retention l2 reads the gate 'alpha', which is not declared"):
        Spec(**parts, retention=L2Retention(), gates={"eta": Gate()})
    with pytest.raises(SpecError) as caught:
        untyped(Spec)(**parts, retention=L2Retention(), gates={"eta": Gate()}, chunk={"size": 0})
    assert [problem.where for problem in caught.value.problems] == ["chunk.size", "gates"]
    with pytest.raises(SpecError, match="'eta', which is not declared"):
        Spec.model_validate({**parts, "gates": {}})
    with pytest.raises(SpecError, match="the spec should be a mapping of keys, not 5"):
        Spec.model_validate(5)


def test_a_copy_with_an_update_is_validated_and_checked() -> None:
    spec = load_spec(SPECS / "gated_delta_net.yaml")
    halved = spec.model_copy(update={"attentional_bias": L2Bias(scale=0.5), "chunk": {"size": 32}})
    assert (halved.attentional_bias, halved.chunk, halved.gates) == (L2Bias(scale=0.5), Chunk(size=32), spec.gates)
    assert halved == build_spec(halved.model_dump(by_alias=True))
    assert spec.chunk.size == 64
    assert spec.model_copy() == spec
    for update, said in (
        ({"gates": {}}, "gates: every rule reads"),
        ({"chunks": 3}, "chunks: unknown key 'chunks'"),
        ({"chunk": 3}, "chunk: "),
    ):
        with pytest.raises(SpecError, match=said):
            spec.model_copy(update=update)
    own = miras_compiler.FormulaBias(loss="sum((u - v)**2)")
    assert own.model_copy(update={"text": "sum(abs(u - v))"}) == own.model_copy(update={"loss": "sum(abs(u - v))"})


def test_importing_the_package_imports_nothing_else() -> None:
    script = "import sys, miras_compiler; sys.exit(len({'sympy', 'torch', 'pydantic', 'networkx'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], check=True)
