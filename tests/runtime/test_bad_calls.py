"""Bad calls of the operators of all packages: each is refused by a ValueError that names the argument, the expectation, and the value."""

from __future__ import annotations

import importlib
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.forms import arguments
from kit.paths import GENERATED, SPECS

NAMES = sorted(path.stem for path in SPECS.glob("*.yaml"))
CALLS = 12  # per package


def nested(x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([x[0], x[0]])


def quantized(x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)


TENSORS: dict[str, Callable[[Tensor], Any]] = {  # in place of any tensor of numbers
    "none": lambda x: None, "list": Tensor.tolist, "string": str, "number": lambda x: 1.0, "dict": lambda x: {"x": x},
    "array": Tensor.numpy,
    "integers": Tensor.int, "truth": Tensor.bool, "complex": lambda x: x.to(torch.complex64), "bytes": lambda x: x.to(torch.float8_e5m2),
    "sparse": Tensor.to_sparse, "nested": nested, "quantized": quantized, "meta": lambda x: x.to("meta"),
    "axis more": lambda x: x[None], "axis less": lambda x: x[0], "longer": lambda x: torch.cat((x, x), -1), "number alone": Tensor.sum,
}  # fmt: skip
DEFINING = {("q", "longer"), ("q", "meta"), ("v", "longer")}  # the argument that others are compared with, which are refused in its place
STATES: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "tuple": lambda state: tuple(state.values()), "list": lambda state: list(state.values()), "string": lambda state: "zeros",
    "number": lambda state: 0, "foreign": lambda state: SimpleNamespace(**state), "numbered": lambda state: dict(enumerate(state.values())),
    "mixed keys": lambda state: {**state, 0: 0, "more": 1, ("a",): 2}, "empty": lambda state: {},
    "another batch": lambda state: {entry: torch.cat((x, x)) for entry, x in state.items()},
}  # fmt: skip
BORDERS: dict[str, Callable[[int], Any]] = {
    "list": lambda length: [0, length], "string": str, "number": lambda length: length,
    "floats": lambda length: torch.tensor([0.0, length]), "two rows": lambda length: torch.tensor([[0, length]]),
    "falling": lambda length: torch.tensor([0, 3, 2, length]), "beyond": lambda length: torch.tensor([0, length + 1]),
    "late": lambda length: torch.tensor([1, length]), "meta": lambda length: torch.tensor([0, length], device="meta"),
    "sparse": lambda length: torch.tensor([0, length]).to_sparse(), "one": lambda length: torch.tensor([0]),
}  # fmt: skip
OPTIONS = {"output_final_state": ["yes", 1, None, torch.tensor(True)], "backend": ["cuda", 3, None, ["torch"], b"torch"]}


def bad_calls(given: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every bad call: the argument, its fault, and the arguments."""
    for name in given.keys() - {"initial_state", "erase_write_key"}:
        for wrong, change in TENSORS.items():
            if (name, wrong) not in DEFINING:
                yield name, wrong, {name: change(given[name])}
    for name in ("k", "v"):
        yield name, "another precision", {name: given[name].double()}
    for name, x in given.items():
        if name.startswith("log_") or name == "eta":
            yield name, "out of its range", {name: -0.1 - x if name == "eta" else 0.1 - 0 * x}
    for wrong, changed in STATES.items():
        yield "initial_state", wrong, {"initial_state": changed(given["initial_state"])}
    for entry, x in given["initial_state"].items():
        for wrong in ("none", "list", "string", "truth", "sparse", "meta", "axis more", "axis less"):
            yield f"initial_state.{entry}", wrong, {"initial_state": given["initial_state"] | {entry: TENSORS[wrong](x)}}
    for wrong, make in BORDERS.items():
        yield "cu_seqlens", wrong, {"cu_seqlens": make(given["q"].shape[1])}
    for name, values in OPTIONS.items():
        for value in values:
            yield name, repr(value), {name: value}


@pytest.fixture(scope="module")
def packages() -> Iterator[Callable[[str], ModuleType]]:
    sys.path.insert(0, str(GENERATED))
    yield lambda name: importlib.import_module(f"{name}.ops")
    sys.path.remove(str(GENERATED))


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_call_is_refused_by_the_name_of_its_argument(name: str, packages: Callable[[str], ModuleType]) -> None:
    ops, given = packages(name), arguments(name, batch=1, tokens=4)
    calls = sorted(bad_calls(given), key=lambda call: call[:2])
    for argument, wrong, changes in random.Random(name).sample(calls, CALLS):
        for form in ("chunk", "fused_recurrent", "naive_recurrent"):
            with pytest.raises(ValueError, match=r"expected .* got ") as caught:
                pytest.fail(f"{form} took {argument}, {wrong}: {getattr(ops, f'{form}_{name}')(**given | changes)}")
            assert str(caught.value).startswith(argument), (form, argument, wrong)


def test_an_unknown_keyword_is_a_type_error(packages: Callable[[str], ModuleType]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'initial_states'"):
        packages("delta_net").chunk_delta_net(**arguments("delta_net"), initial_states=None)


@pytest.mark.parametrize("name", ["delta_net", "linear_attention"])
def test_a_tensor_is_the_state_of_a_memory_of_one_weight(name: str, packages: Callable[[str], ModuleType]) -> None:
    given = arguments(name)
    bare = given | {"initial_state": given["initial_state"]["W"]}
    for form in ("chunk", "fused_recurrent", "naive_recurrent"):
        operator = getattr(packages(name), f"{form}_{name}")
        torch.testing.assert_close(operator(**bare, output_final_state=True), operator(**given, output_final_state=True))
