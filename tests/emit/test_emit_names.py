"""Names of gates: whatever a spec may call one, the package that it gets is the same."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import torch

from kit.spec_texts import edited, parsed
from miras_compiler import Compilation, compile_spec
from miras_compiler.errors import SpecError
from miras_compiler.verify.inputs import InputShape, draw_inputs

# names of tensors, functions, modules, builtins and constants in packages, each of which stands beside a gate in some scope
TAKEN = "own d_own d_d_own G beta m d2 W W_start mean step chunk CONTRACT Tensor torch tl valid z".split()
OPTIONS = {"chunks": "\nchunk: {size: 4, gradient: chunk_start}\n", "window": ""}


def compiled(names: list[str], options: str) -> Compilation:
    """A rule with all these gates in its bias, one beside another."""
    factors = " + ".join(f"0.1 * {name}**2" for name in names)
    window = ", window: 2" if options == "window" else ""
    bias = ("{kind: l2}\nretention", f'{{kind: formula, loss: "sum((1 + {factors}) * log(cosh(u - v)))"{window}}}\nretention')
    gates = "".join(f"  {name}: {{}}\n" for name in [*names, *(["gamma"] if window else [])])
    return compile_spec(parsed(edited(bias, more=gates + OPTIONS[options])))


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_a_package_computes_the_same_whatever_its_gates_are_called(options: str) -> None:
    names = TAKEN
    plain = [f"gate{number:02}" for number in range(len(names))]
    results: list[Any] = []
    for called in (names, plain):
        compilation = compiled(called, options)
        fields = compilation.spec.model_dump(by_alias=True)
        given = draw_inputs(fields, InputShape(2, 7, 2, 4, 4), seed=0, eta=0.3, position=1)
        order = torch.linspace(0.5, 1, len(names), dtype=torch.float64)
        gates = {key: x for key, x in given.gates.items() if key not in called}
        own = {name: torch.full_like(given.gates["eta"], float(value)) for name, value in zip(called, order, strict=True)}
        state = {key: x for key, x in given.state.items() if not key.startswith("window_")}
        ops = compilation.load()
        for form in ("chunk", "naive_recurrent"):
            o, final = getattr(ops, f"{form}_x")(given.q, given.k, given.v, **gates, **own, initial_state=state, output_final_state=True)
            results.append((o, final["W"]))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_functions_that_take_gates_by_name_read_no_name_that_a_gate_may_have() -> None:
    """Their own arguments, and names that begin with an underscore; in programs only the name of a gate or its gradient ends in one."""
    compilation = compiled(["own"], "chunks")
    for file in compilation.files:
        if not file.path.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(file.text)):
            if isinstance(node, ast.Name | ast.arg):
                name = node.id if isinstance(node, ast.Name) else node.arg
                assert not name.endswith("_") or name in ("own_", "d_own_", "_") or name.startswith(("down_", "__")), (file.path, name)
            if isinstance(node, ast.FunctionDef) and "own" in [argument.arg for argument in node.args.kwonlyargs]:
                taken = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
                read = {each.id for line in node.body for each in ast.walk(line) if isinstance(each, ast.Name)}
                assert {name for name in read - taken if not name.startswith("_")} == set(), (file.path, node.name)


@pytest.mark.parametrize(
    "name", ["log_x", "window_k", "dim_v", "k_features", "length", "x0", "own_", "q", "backend", "feature_coefficients", "exp"]
)
def test_a_name_with_a_meaning_of_its_own_is_refused(name: str) -> None:
    text = edited(("{kind: l2}\nretention", f'{{kind: formula, loss: "sum({name} * (u - v)**2)"}}\nretention'), more=f"  {name}: {{}}\n")
    with pytest.raises(SpecError, match=f"the gate's name '{name}' has a meaning of its own"):
        parsed(text)


def test_more_gates_than_an_operator_of_torch_takes_are_refused() -> None:
    names = [f"gate{number:02}" for number in range(24)]
    loss = f"sum((1 + {' + '.join(f'{name}**2' for name in names)}) * (u - v)**2)"
    text = edited(
        ("{kind: l2}\nretention", f'{{kind: formula, loss: "{loss}"}}\nretention'), more="".join(f"  {name}: {{}}\n" for name in names)
    )
    with pytest.raises(SpecError, match="gates are too many; an operator takes at most 24; use fewer"):
        parsed(text)
