"""The forms in PyTorch under PyTorch's ways to change a function: compilation, export, transforms, autocast, tensors without values."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from operator import getitem
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch._subclasses import FakeTensorMode

from kit.forms import FORMS, NAMES, Arguments, arguments, compiled, mapped, operator

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_tensors_without_values_give_the_shapes_of_results(name: str, form: str) -> None:
    run, given = operator(name, form), arguments(name)
    o, state = run(**given, output_final_state=True)
    with FakeTensorMode() as fake:
        results = [run(**mapped(fake.from_tensor, given), output_final_state=True)]
    results.append(run(**mapped(lambda x: x.to("meta"), given), output_final_state=True))
    for o_there, state_there in results:
        assert o_there.shape == o.shape
        assert {entry: (x.shape, x.dtype) for entry, x in state_there.items()} == {entry: (x.shape, x.dtype) for entry, x in state.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_autocast_does_not_reach_the_operators(name: str, form: str) -> None:
    given = arguments(name)
    expected = operator(name, form)(**given)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(operator(name, form)(**given)[0], expected)


def loss_and_leaves(name: str, run: Callable[..., Any], dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
    """The sum of the squares of all results, and the tensors that it is differentiated in."""
    given = mapped(lambda x: x.to(dtype).requires_grad_() if x.is_floating_point() else x, arguments(name, tokens=7))
    o, state = run(**given, output_final_state=True)
    leaves = [x for x in (*given.values(), *given["initial_state"].values()) if isinstance(x, Tensor) and x.requires_grad]
    return o.square().sum() + sum(x.square().sum() for x in state.values() if x.is_floating_point()), leaves


def gradients(loss: Tensor, leaves: list[Tensor], **options: Any) -> list[Tensor]:
    return list(torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True, **options))


@pytest.mark.parametrize("backend", [None, "aot_eager"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_a_backward_pass_under_autocast_is_computed_as_the_forward_pass_is(name: str, form: str, backend: str | None) -> None:
    """Also where the forward pass was not under autocast."""
    torch._dynamo.reset()
    run = operator(name, form)
    expected = gradients(*loss_and_leaves(name, run))
    tried = torch.compile(run, fullgraph=True, backend=backend) if backend else run
    for around_forward in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=around_forward):
            loss, leaves = loss_and_leaves(name, tried)
        with torch.autocast("cpu", torch.bfloat16):
            assert all(map(torch.equal, gradients(loss, leaves), expected))


@pytest.mark.parametrize("form", FORMS)
def test_a_graph_is_pulled_back_twice(form: str) -> None:
    run = operator("omega_delta", form)
    loss, leaves = loss_and_leaves("omega_delta", run, torch.float64)
    first, second = (gradients(loss, leaves, retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("form", FORMS)
def test_second_derivatives_are_those_of_finite_differences(form: str) -> None:
    given = arguments("omega_delta", batch=1, tokens=3)
    given = mapped(lambda x: x.double() if x.is_floating_point() else x, given)

    def output(q: Tensor, v: Tensor) -> Any:
        return operator("omega_delta", form)(**{**given, "q": q, "v": v})[0]

    assert torch.autograd.gradgradcheck(output, (given["q"].requires_grad_(), given["v"].requires_grad_()), fast_mode=True)


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("backend", [None, "aot_eager"])
def test_one_forward_pass_serves_the_backward_pass_and_its_graph_is_freed_behind_it(backend: str | None, copies: bool) -> None:
    """Unless saved tensors are copied, as offloading does: then it is computed again."""
    torch._dynamo.reset()
    run = operator("delta_product", "torch_chunk")
    form, kept = (sys.modules[f"{compiled('delta_product')}.{name}"] for name in ("chunked", "runtime_recorded"))
    expected = gradients(*loss_and_leaves("delta_product", run))
    passes: list[int] = []
    tile = form._FORM.function

    def counted(*tensors: Tensor) -> Any:
        passes.append(1)
        return tile(*tensors)

    object.__setattr__(form._FORM, "function", counted)
    try:
        tried = torch.compile(run, fullgraph=True, backend=backend) if backend else run
        gradients(*loss_and_leaves("delta_product", tried))
        gc.collect()
        assert not kept._memories
        passes.clear()
        with torch.autograd.graph.saved_tensors_hooks(torch.clone, torch.clone) if copies else nullcontext():
            loss, leaves = loss_and_leaves("delta_product", tried)
        torch.testing.assert_close(gradients(loss, leaves), expected)
        assert len(passes) == (2 if copies else 1)
        assert not kept._memories
    finally:
        object.__setattr__(form._FORM, "function", tile)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_per_sample_are_those_of_each_sample_alone(name: str, form: str) -> None:
    """Each sample at its own place of its chunk, which vmap does not tell."""
    given = arguments(name, tokens=5)
    samples = {key: x for key, x in given.items() if isinstance(x, dict) or x.dim() > 2}
    shared = {key: x for key, x in given.items() if key not in samples}

    def loss(sample: Arguments) -> Any:
        return operator(name, form)(**mapped(lambda x: x[None], sample), **shared)[0].square().sum()

    def slopes(tokens: Arguments, state: Arguments) -> Any:
        return torch.func.grad(lambda each: loss({**each, "initial_state": state}))(tokens)

    tokens = {key: x for key, x in samples.items() if key != "initial_state"}
    found = torch.func.vmap(slopes)(tokens, given["initial_state"])
    for row in range(2):
        expected = slopes(*(mapped(partial(torch.select, dim=0, index=row), each) for each in (tokens, given["initial_state"])))
        torch.testing.assert_close({key: x[row] for key, x in found.items()}, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_vmap_runs_over_decays(form: str) -> None:
    given = arguments("titans_lmm")
    decay = given.pop("log_alpha")
    decays = torch.stack([decay, 2 * decay, 3 * decay])
    found = torch.func.vmap(lambda each: operator("titans_lmm", form)(**given, log_alpha=each)[0])(decays)
    expected = torch.stack([operator("titans_lmm", form)(**given, log_alpha=each)[0] for each in decays])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_one_graph_without_a_break_serves_every_length(name: str, form: str) -> None:
    torch._dynamo.reset()
    counter = CompileCounter()
    run = torch.compile(operator(name, form), fullgraph=True, backend=counter)
    for tokens in (5, 7, 9, 70, 33):
        given = arguments(name, tokens=tokens)
        torch.testing.assert_close(run(**given, output_final_state=True), operator(name, form)(**given, output_final_state=True))
    assert counter.frame_count <= 2  # the first is for one length


@pytest.mark.parametrize("form", FORMS)
def test_polynomial_features_are_part_of_that_graph(form: str) -> None:
    torch._dynamo.reset()
    counter = CompileCounter()
    run = torch.compile(operator("taylor_linear_attention", form), fullgraph=True, backend=counter)
    for tokens in (5, 7):
        given = arguments("taylor_linear_attention", tokens=tokens)
        torch.testing.assert_close(run(**given)[0], operator("taylor_linear_attention", form)(**given)[0])
    assert counter.frame_count <= 2


@pytest.mark.parametrize("name", NAMES)
def test_compiled_gradients_and_packed_sequences_are_those_of_eager_calls(name: str) -> None:
    torch._dynamo.reset()
    run, eager = torch.compile(operator(name, "torch_chunk"), fullgraph=True, backend="aot_eager"), operator(name, "torch_chunk")
    given = arguments(name, batch=1)
    given["initial_state"] = arguments(name, batch=3, tokens=1)["initial_state"]
    given["cu_seqlens"] = torch.tensor([0, 4, 4, 7], dtype=torch.int32)
    leaves = [x.requires_grad_() for x in [*given.values(), *given["initial_state"].values()] if getattr(x, "is_floating_point", bool)()]
    results = []
    for function in (run, eager):
        o, state = function(**given, output_final_state=True)
        total = o.square().sum() + sum(x.square().sum() for x in state.values() if x.is_floating_point())
        results.append((o, torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)))
    torch.testing.assert_close(*results)


def test_a_compiled_backward_pass_computes_nothing_for_a_final_state_that_nobody_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    graph = sys.modules[f"{compiled('gated_delta_net')}.runtime_recorded"].Graph
    pull_back, asked = graph.pull_back, []

    def watched(self: Any, wanted: Any, cotangents: Any, create_graph: bool = False) -> Any:
        asked.append([slope is not None for slope in cotangents])
        return pull_back(self, wanted, cotangents, create_graph)

    monkeypatch.setattr(graph, "pull_back", watched)
    run = torch.compile(operator("gated_delta_net", "torch_chunk"), fullgraph=True, backend="aot_eager")
    given = arguments("gated_delta_net")
    v = given["v"].requires_grad_()
    o, state = run(**given, output_final_state=True)
    torch.autograd.grad(o.sum() + state["W"].sum(), v)
    torch.autograd.grad(run(**given)[0].sum(), v)
    assert asked == [[True, True], [True, False]]


def test_a_graph_holds_the_operator_alone_and_computes_no_state_that_is_neither_given_nor_asked_for() -> None:
    torch._dynamo.reset()
    nodes: list[torch.fx.Node] = []

    def backend(module: torch.fx.GraphModule, _: Any) -> Any:
        nodes.extend(node for node in module.graph.nodes if node.op.startswith("call") and node.target is not getitem)
        return module.forward

    given = arguments("gated_delta_net")
    del given["initial_state"]
    torch.compile(operator("gated_delta_net", "torch_chunk"), fullgraph=True, backend=backend)(**given)
    form = sys.modules[f"{compiled('gated_delta_net')}.chunked"]
    assert [str(node.target).partition(".")[0] for node in nodes] == [f"miras_{form.CONTRACT.name}"]
    _, state, _ = nodes[0].meta["example_value"]
    assert state.numel() == 0


def test_a_backward_pass_takes_the_arguments_that_a_compiled_graph_computes_anew() -> None:
    """In the memory of those before it may have put other numbers meanwhile; with one head and one tile nothing else holds them."""
    given = arguments("gated_delta_net")
    leaves = [given[name][:, :, :1].contiguous().requires_grad_() for name in ("q", "k", "v", "log_alpha", "eta")]
    o, _ = operator("gated_delta_net", "torch_chunk")(*leaves[:3], log_alpha=leaves[3], eta=leaves[4])
    expected = torch.autograd.grad(o, leaves, torch.ones_like(o))
    form = sys.modules[f"{compiled('gated_delta_net')}.chunked"]
    library, wanted = getattr(torch.ops, f"miras_{form.CONTRACT.name}"), [*[True] * 5, False]
    first = [x.detach().clone() for x in leaves]
    *_, token = library.chunk(*first, None, None, 64, False, wanted)
    for x in first:
        x.zero_()
    again = [*(x.detach() for x in leaves), None]
    found = library.chunk_backward(again, None, 64, wanted, token, [torch.ones_like(o), None])
    torch.testing.assert_close(found, list(expected))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_the_operator_in_a_graph_is_what_pytorch_asks_of_one(name: str, form: str) -> None:
    """Shapes and strides without values are those of results, and its gradients work in graphs, for views too."""
    module = sys.modules[f"{compiled(name)}.{'chunked' if form == 'torch_chunk' else 'recurrent'}"]
    given = arguments(name)
    state = operator(name, form)(**given, output_final_state=True)[1]
    tensors = [given[key].detach().requires_grad_() for key in (*module.CONTRACT.tokens, *module.CONTRACT.parameters)]
    entries = [state[entry].transpose(0, 1).contiguous().transpose(0, 1) if state[entry].dim() > 1 else state[entry] for entry in state]
    given_all = [*tensors, *entries]
    op = getattr(getattr(torch.ops, f"miras_{module.CONTRACT.name}"), module._FORM.kind)
    torch.library.opcheck(op.default, (*given_all, None, 16, True, [x.requires_grad for x in given_all]))


def test_an_exported_operator_takes_every_length() -> None:
    class Module(torch.nn.Module):
        def forward(self, given: Arguments) -> Any:
            return operator("titans_lmm", "torch_chunk")(**given)[0]

    lengths = {
        key: {1: torch.export.Dim.AUTO} if x.dim() > 2 else None for key, x in arguments("titans_lmm").items() if isinstance(x, Tensor)
    }
    dynamic = {**lengths, "initial_state": dict.fromkeys(arguments("titans_lmm")["initial_state"])}
    program = torch.export.export(Module(), (arguments("titans_lmm", tokens=11),), dynamic_shapes=(dynamic,))
    given = arguments("titans_lmm", tokens=30)
    torch.testing.assert_close(program.module()(given), operator("titans_lmm", "torch_chunk")(**given)[0])
