"""The layer around the operator: its forward pass and gradients, its starts, its defaults, its cache, padding and packing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache as cache_once
from typing import Any

import torch
from torch import Tensor

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.inputs import Inputs
from miras_compiler.verify.literal.gates import DECAYS
from miras_compiler.verify.literal.layer import LiteralLayer, rate, squash
from miras_compiler.verify.literal.memory import weight_shapes
from miras_compiler.verify.measure import NOTHING, Tally, least_scale_of
from miras_compiler.verify.package import PackageLayer
from miras_compiler.verify.rounding import Pulled, rounding_of
from miras_compiler.verify.subject import Subject, within_float32

HIDDEN, HEADS, KEY, TOKENS = 6, 2, 4, 6
MANY = 12  # hidden width, heads and key width from which a spread can be measured
MOVED = 0.1  # how far parameters are from their start, so that every one of them matters
SPREAD = 0.2  # how far a measured standard deviation may be off
PIECES = (2, 1, 1, 2)  # tokens handed over together: a prompt, two of decoding, the rest


def has_layer(subject: Subject) -> bool:
    return subject.package.make_layer is not None


def head_count(subject: Subject, heads: int) -> int:
    """As many heads of keys as the lists of initial values, one for every head of values, ask for, where a gate has such a list."""
    lists = [gate["init"] for gate in subject.fields["gates"].values() if isinstance(gate["init"], (tuple, list))]
    return len(lists[0]) // groups_of(subject.fields) if lists else heads


def groups_of(fields: Mapping[str, Any]) -> int:
    """The heads of values that share a query and a key."""
    layer = fields["layer"]
    return int(layer.get("value_heads", layer["heads"])) // int(layer["heads"])


def tie_gates(name: str, tie: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The gates of the terms of a tied row, by the names of their modules."""
    terms = (tie, *tie.get("plus", ()))
    return {f"{name}_gate" + (f"_{number}" if number > 1 else ""): term["gate"] for number, term in enumerate(terms, 1) if term["gate"]}


def make(subject: Subject, hidden: int, heads: int, key: int) -> PackageLayer:
    memory = subject.fields["memory"]
    value = key if memory["residual"] or memory["kind"] == "vector" else key + 1
    assert subject.package.make_layer is not None
    arguments = {"hidden_size": hidden, "heads": head_count(subject, heads), "head_dim": key, "value_dim": value, "layer_idx": 0}
    return subject.package.make_layer(subject.seed, **arguments)


def small(subject: Subject) -> tuple[PackageLayer, dict[str, Tensor], Tensor]:
    """A layer, its tensors in float64, moved away from their start, and hidden states.

    Of a rule that explodes, half as many tokens until its memory stays within float32: a norm behind it may hide how far it has gone.
    """
    layer = make(subject, HIDDEN, HEADS, KEY)
    generator = torch.Generator().manual_seed(subject.seed)

    def moved(name: str, x: Tensor) -> Tensor:
        return x.double() + (MOVED * torch.randn(x.shape, generator=generator, dtype=torch.float64) if name in layer.learned else 0)

    tensors = {name: moved(name, x) for name, x in sorted(layer.tensors.items())}
    x = torch.randn(2, TOKENS, HIDDEN, generator=generator, dtype=torch.float64)
    literal = LiteralLayer(subject.fields, head_count(subject, HEADS))
    with torch.no_grad():
        while x.shape[1] > 1 and not within_float32(literal.remembered(x, tensors)):
            x = x[:, : x.shape[1] // 2]
    return layer, tensors, x


def forward_and_gradients(subject: Subject, tally: Tally) -> None:
    layer, tensors, x = small(subject)
    literal = LiteralLayer(subject.fields, head_count(subject, HEADS))
    weights = torch.cos(torch.arange(x.numel(), dtype=torch.float64)).reshape(x.shape)

    def pull(run: Callable[[Tensor, Mapping[str, Tensor]], Tensor], given: Inputs) -> Pulled:
        leaves = {name: tensor.detach().clone().requires_grad_(name in layer.learned) for name, tensor in given.parameters.items()}
        hidden = given.v.clone().requires_grad_()
        o = run(hidden, leaves)
        wanted = {"x": hidden, **{name: leaves[name] for name in layer.learned}}
        gradients = torch.autograd.grad((o * weights).sum(), list(wanted.values()), allow_unused=True, materialize_grads=True)
        return (o.detach(), {}), dict(zip(wanted, gradients, strict=True))

    inputs = Inputs(q=x, k=x, v=x, gates={}, parameters=tensors, state={})
    tally.about(cache_once(lambda: rounding_of(lambda given: pull(literal, given), inputs)))
    (o, _), found = pull(lambda hidden, leaves: layer(hidden, leaves)[0], inputs)
    (expected, _), gradients = pull(literal, inputs)
    tally.compare("o", o, expected)
    tally.compare_all("d", found, gradients)
    least = least_scale_of(gradients, NOTHING)
    for name, gradient in found.items():
        tally.require(f"{name} has no gradient", not is_missing(gradient, gradients[name], least))


def is_missing(one: Tensor, other: Tensor, least: float) -> bool:
    """True where one of two gradients is 0 and the other is more than `least`: less may be the rounding of a sum that is 0."""
    smaller, larger = sorted((float(one.norm()), float(other.norm())))
    return smaller == 0.0 and larger > least


def starts(subject: Subject, tally: Tally) -> None:
    """Gates begin at their `init`, scales at 1, shifts at 0, W_0 and the rows at the spread that is declared."""
    layer = make(subject, MANY, MANY, MANY)
    fields, heads = subject.fields, head_count(subject, MANY)
    start = {name: x.double() for name, x in layer.tensors.items()}
    for name, gate in fields["gates"].items():
        _gate_start(tally, fields, name, gate, start)
    for module, gate in [pair for name, tie in fields["layer"].get("tie", {}).items() for pair in tie_gates(name, tie).items()]:
        own = start[f"{module}.value"] if gate["source"] != "input" else start[f"{module}.bias"]
        own = own if gate["source"] == "constant" else torch.sigmoid(own)
        tally.require(f"{module} begins at {own.mean():.3g}, not {gate['init']}", _near(own, gate["init"]))
        _projection_start(tally, module, start)
    for name, value in {"ln_weight": 1.0, "ln_bias": 0.0, "o_norm_weight": 1.0, "D": 1.0}.items():
        if name in start:
            tally.require(f"{name} begins at {start[name].mean():.3g}, not {value:g}", _near(start[name], value))
    if "feature_coefficients" in start:
        wanted = torch.tensor([math.factorial(i) ** -0.5 for i in range(len(start["feature_coefficients"]))])
        tally.require("feature_coefficients do not begin at 1/√(i!)", bool((start["feature_coefficients"] - wanted).abs().max() < 1e-6))
    init = fields["memory"]["init"]
    for name in weight_shapes(fields["memory"], 1, 1, 1):
        if name in start:
            std = start[name].shape[1] ** -0.5 if init["std"] == "fan_in" else float(init["std"])
            _spread(tally, name, start[name], std)
            tally.require(f"{name}: learned or not", (name in layer.learned) == bool(init["learned"]))
    for name, x in start.items():
        if name.endswith("_proj.weight"):
            _spread(tally, name, x, (x.shape[1] * 3) ** -0.5)  # uniform to ± 1/√inputs, as torch draws a projection
        if name.endswith("_conv1d.weight"):
            _spread(tally, name, x, (len(x) * 3) ** -0.5)
    tally.remarks.append(f"{len(start)} tensors, {heads} heads")


def _gate_start(tally: Tally, fields: Mapping[str, Any], name: str, gate: Mapping[str, Any], start: Mapping[str, Tensor]) -> None:
    if gate["source"] == "eta":
        found = -rate(start, name, 3) * torch.tensor(fields["gates"]["eta"]["init"], dtype=torch.float64)
    else:
        found = start[f"{name}_gate.bias" if gate["source"] == "input" else f"{name}_gate.value"]
        if gate["source"] != "constant":
            found = squash(fields, name, found[None, None], start)[0, 0]
    found = found.exp() if name in DECAYS else found
    init = torch.tensor(gate["init"], dtype=torch.float64).reshape(-1, *[1] * (found.dim() - 1))
    wanted = init.repeat(found.shape[0] // len(init), *[1] * (found.dim() - 1)).expand_as(found)
    off = float((found - wanted).abs().max())
    tally.require(f"{name} begins at {found.mean():.3g}, not {gate['init']}", off <= 1e-5 * (1 + float(init.abs().max())))
    if gate["source"] == "input":
        _projection_start(tally, f"{name}_gate", start)
        rank = start[f"{name}_gate.down"].shape[0] if f"{name}_gate.down" in start else None
        tally.require(f"{name}_gate has rank {rank}, not {gate['low_rank']}", rank == gate["low_rank"])


def _projection_start(tally: Tally, module: str, start: Mapping[str, Tensor]) -> None:
    """A gate's projection begins at 0: of two factors the outer one, and the inner one with its spread."""
    outer = start.get(f"{module}.weight", start.get(f"{module}.up"))
    if outer is not None:
        tally.require(f"{module} does not begin at 0", not outer.any())
    if f"{module}.down" in start:
        down = start[f"{module}.down"]
        _spread(tally, f"{module}.down", down, down.shape[1] ** -0.5)


def _near(x: Tensor, value: float) -> bool:
    return bool((x - value).abs().max() <= 1e-6 * max(1.0, abs(value)))


def _spread(tally: Tally, name: str, x: Tensor, std: float) -> None:
    """The standard deviation is this one, as well as so many numbers tell."""
    found, slack = float(x.square().mean().sqrt()), SPREAD + 3 / math.sqrt(x.numel())
    tally.require(f"{name} has a spread of {found:.3g}, not {std:.3g}", abs(found - std) <= slack * std)


def defaults(subject: Subject, tally: Tally) -> None:
    """The layer without arguments has the widths of the spec."""
    assert subject.package.make_layer is not None
    shapes = subject.package.make_layer.shapes()
    layer = subject.fields["layer"]
    hidden = layer["heads"] * layer["head_dim"]
    heads, key, value = (int(layer[name]) for name in ("heads", "head_dim", "value_dim"))
    value *= groups_of(subject.fields)
    steps, ties = subject.literal.steps, layer.get("tie", {})
    rows = LiteralLayer(subject.fields, heads).rows
    wanted = {f"{name}_proj.weight": [heads * (value if name == "v" else key) * (steps if name != "q" else 1), hidden] for name in rows}
    for name, tie in ties.items():
        if tie["of"] == "zero":
            wanted[f"{name}_proj.weight"][0] = heads * value * (steps - 1)
        elif name not in (tie["of"], *(term["of"] for term in tie.get("plus", ()))):
            del wanted[f"{name}_proj.weight"]
    if layer["conv"]:
        wanted |= {
            name.replace("_proj", "_conv1d"): [layer["conv"], shape[0]] for name, shape in wanted.items() if name.endswith("_proj.weight")
        }
    wanted |= {"o_proj.weight": [hidden, heads * value]}
    wanted |= {"g_proj.weight": [heads * value, hidden]} if layer["output_gate"] else {}
    wanted |= {"o_norm_weight": [layer["value_dim"]]} if layer["output_norm"] != "none" else {}
    wanted |= {"D": [heads * groups_of(subject.fields)]} if layer.get("skip") else {}
    for name, shape in wanted.items():
        found = list(shapes.get(name, ()))
        tally.require(f"{name} is {found}, not {shape}", found == shape)
    gates = [f"{name}_{part}" for name in subject.fields["gates"] for part in ("gate", "rate")]
    gates += [module for name, tie in ties.items() for module in tie_gates(name, tie)]
    owned = (*wanted, *weight_shapes(subject.fields["memory"], 1, 1, 1), "ln_weight", "ln_bias", "feature_coefficients")
    for name in shapes:
        tally.require(f"{name} is no part of this layer", name in owned or name.split(".")[0] in gates)


def cache(subject: Subject, tally: Tally) -> None:
    """A prompt, one token, and the rest, by way of the cache ≡ the whole."""
    layer, tensors, x = small(subject)
    with torch.no_grad():
        whole, _ = layer(x, tensors)
        pieces, past = [], None
        for piece_of_x in torch.split(x, sizes_of_pieces(x.shape[1]), 1):
            piece, past = layer(piece_of_x, tensors, past, use_cache=True)
            pieces.append(piece)
        tally.compare("o", torch.cat(pieces, 1), whole)
        _, nothing = layer(x[:, :1], tensors)
        tally.require("a cache that nobody asked for", nothing is None)


def sizes_of_pieces(tokens: int) -> list[int]:
    return list(PIECES) if tokens == sum(PIECES) else [1] * tokens


def padding_and_packing(subject: Subject, tally: Tally) -> None:
    """Padding on either side, and sequences packed into a row, are as each sequence alone; outputs at padding are 0."""
    layer, tensors, x = small(subject)
    tokens = x.shape[1]
    lengths = (tokens, (tokens + 1) // 2)
    with torch.no_grad():
        alone = [layer(x[n : n + 1, :length], tensors)[0] for n, length in enumerate(lengths)]
        for side in ("left", "right"):
            mask, padded = torch.zeros(2, tokens, dtype=torch.int64), torch.full_like(x, 7.0)
            places = [slice(tokens - length, tokens) if side == "left" else slice(0, length) for length in lengths]
            for n, place in enumerate(places):
                mask[n, place], padded[n, place] = 1, x[n, : lengths[n]]
            o, _ = layer(padded, tensors, attention_mask=mask)
            for n, place in enumerate(places):
                tally.compare(f"padded on the {side}, row {n}", o[n : n + 1, place], alone[n])
            tally.require(f"padded on the {side}: outputs at padding are not 0", not o[mask == 0].any())
        tally.compare("packed", layer(packed(x, lengths), tensors, cu_seqlens=borders_of(lengths))[0], torch.cat(alone, 1))
        if tokens == 1:  # of more than one the memory may explode
            return
        shorter = (tokens - 1, tokens // 2)
        _, past = layer(packed(x, shorter), tensors, cu_seqlens=borders_of(shorter), use_cache=True)
        further, _ = layer(torch.stack([x[n, length : length + 1] for n, length in enumerate(shorter)]), tensors, past)
        again = [layer(x[n : n + 1, : length + 1], tensors)[0][:, -1:] for n, length in enumerate(shorter)]
        tally.compare("one token behind packed ones", further, torch.cat(again))


def packed(x: Tensor, lengths: Sequence[int]) -> Tensor:
    """The first tokens of every row of x in one row."""
    return torch.cat([x[n, :length] for n, length in enumerate(lengths)])[None]


def borders_of(lengths: Sequence[int]) -> Tensor:
    return torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)


LAYER = (
    Check("layer", "layer ≡ literal layer, gradients too", 1e-9, forward_and_gradients, has_layer),
    Check("layer", "parameters begin where the spec says", 0.0, starts, has_layer),
    Check("layer", "widths without arguments are the spec's", 0.0, defaults, has_layer),
    Check("layer", "by way of the cache ≡ whole", 1e-9, cache, has_layer),
    Check("layer", "padded and packed ≡ alone", 1e-9, padding_and_packing, has_layer),
)
