"""Checks on combinations: each refusal names the definition that the combination lacks."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from miras_compiler.elements.bias import FormulaBias, L2Bias
from miras_compiler.elements.feature_map import PolynomialMap
from miras_compiler.elements.memory import MatrixMemory, VectorMemory
from miras_compiler.elements.optimizer import GradientDescent, Implicit, Muon, Nesterov, Preconditioned
from miras_compiler.elements.retention import (
    ElasticNetRetention,
    FDivergenceRetention,
    L2Retention,
    LqRetention,
    NoRetention,
)
from miras_compiler.errors import Fault
from miras_compiler.expressions.formula import ROW_LETTERS
from miras_compiler.expressions.symbols import RowMax, RowSum, larger, letter
from miras_compiler.spec.schema import Spec

MAX_DUAL_NORM = 64


def width_of_residual(spec: Spec) -> Iterator[Fault]:
    """x + f needs a key as wide as a value, and so does w ⊙ x."""
    widths = f"K = {spec.key_dim} and V = {spec.value_dim}"
    remedy = "make layer.value_dim equal to layer.head_dim"
    if spec.key_dim == spec.value_dim:
        return
    if spec.memory.residual:
        yield Fault(("memory", "residual"), f"a residual with {widths}", "it adds the key to a value", f"{remedy}, or set residual: false")
    if isinstance(spec.memory, VectorMemory):
        yield Fault(("memory", "kind"), f"a vector memory with {widths}", "it multiplies the key entry by entry", remedy)


def gradient_of_deep_memory(spec: Spec) -> Iterator[Fault]:
    """A deep memory says whether its gradients are exact: that is a different function, at a very different price."""
    if spec.memory.deep and "gradient" not in spec.chunk.model_fields_set:
        why = "for a deep memory it decides between two functions: exact runs token by token, chunk_start in parallel"
        yield Fault(("chunk", "gradient"), "chunk.gradient is not given", why, "add `chunk: {size: 16, gradient: chunk_start}`, or exact")


def decayed_surprise(spec: Spec) -> Iterator[Fault]:
    """Only an exact gradient can be measured at the decayed state."""
    if spec.retention.order == "before_gradient" and spec.has_grid:
        why = "the decayed state that before_gradient measures at does not exist where all gradients are taken at the chunk's start"
        yield Fault(
            ("retention", "order"), "before_gradient with chunk.gradient: chunk_start", why, "use after_gradient, or gradient: exact"
        )


def mirror_map_of_chunk(spec: Spec) -> Iterator[Fault]:
    """`retention: chunk_end` needs a chunk that begins at a known state, and a mirror map that does something."""
    path = ("chunk", "retention")
    if spec.chunk.retention != "chunk_end":
        return
    if spec.chunk.gradient != "chunk_start":
        why = "reads inside the chunk follow a linear path from the state that enters it"
        yield Fault(path, "chunk.retention: chunk_end without gradient: chunk_start", why, "use per_token, or gradient: chunk_start")
    if spec.retention.identity:
        why = f"the mirror map of the retention {spec.retention.kind} is the identity, and there is nothing to apply at the chunk's end"
        yield Fault(path, "chunk.retention: chunk_end has no meaning here", why, "remove it")


def read_of_chunk(spec: Spec) -> Iterator[Fault]:
    """Reading at the chunk's start makes the result depend on the chunk, which an exact gradient rules out."""
    if spec.chunk.read == "chunk_start" and spec.chunk.gradient == "exact":
        why = "with exact gradients a chunk is only a way to compute, and no state enters it"
        yield Fault(("chunk", "read"), "chunk.read: chunk_start with gradient: exact", why, "use after_write, or gradient: chunk_start")


def norm_of_dual(spec: Spec) -> Iterator[Fault]:
    """q close to 1 makes the dual exponent p = q/(q − 1) so large that |A|^p leaves the range of floats."""
    if isinstance(spec.retention, LqRetention) and spec.retention.q / (spec.retention.q - 1) > MAX_DUAL_NORM:
        p = spec.retention.q / (spec.retention.q - 1)
        yield Fault(
            ("retention", "q"),
            f"q = {spec.retention.q:g} has the dual exponent p = {p:.4g}",
            f"powers above {MAX_DUAL_NORM} overflow",
            "take a larger q",
        )


def needs_of_optimizer(spec: Spec) -> Iterator[Fault]:
    """Refuses an optimizer where it is not defined."""
    chunk = spec.chunk
    l2 = (isinstance(spec.attentional_bias, L2Bias), "an l2 attentional bias")
    matrix = (isinstance(spec.memory, MatrixMemory), "a matrix memory")
    exact = (not spec.has_grid, "chunk.gradient: exact")
    decayed = (
        spec.retention.order == "before_gradient" or isinstance(spec.retention, NoRetention),
        "retention.order: before_gradient, or no retention",
    )
    needs: dict[str, tuple[tuple[bool, str], ...]] = {}
    match spec.optimizer:
        case Nesterov():
            needs["the optimizer nesterov"] = (exact,)
        case Implicit():
            needs["the optimizer implicit"] = (l2, matrix, exact, decayed)
        case Preconditioned():
            needs["the optimizer preconditioned"] = (matrix, exact, decayed)
        case Muon() if isinstance(spec.memory, VectorMemory):
            needs["the optimizer muon"] = ((False, "a memory of matrices"),)
        case Muon(apply="chunk_end"):
            read = (chunk.read == "chunk_start", "chunk.read: chunk_start")
            needs["muon at the chunk's end"] = (read, (chunk.gradient == "chunk_start", "chunk.gradient: chunk_start"))
        case GradientDescent(steps=steps, erase_key=erase_key):
            if steps > 1:
                needs["gradient descent with several steps"] = (matrix, exact, decayed)
            if erase_key:
                plain = not spec.memory.residual and spec.memory.norm == "none"
                live = (not spec.has_grid, "chunk.gradient: exact")
                needs["an erase key"] = (l2, matrix, live, (plain, "a memory without norm and residual"), (steps == 1, "steps: 1"))
    for what, conditions in needs.items():
        for met, condition in conditions:
            if not met and isinstance(spec.optimizer, Nesterov):
                why = "it measures where the momentum of each token leads to, and frozen gradients do not follow it"
                yield Fault(("optimizer",), f"{what} needs {condition}", why, "say gradient: exact, or take momentum")
            elif not met:
                yield Fault(("optimizer",), f"{what} needs {condition}", "it is not defined otherwise")


def needs_of_retention(spec: Spec) -> Iterator[Fault]:
    """Refuses choices that some retentions exclude."""
    if isinstance(spec.retention, FDivergenceRetention) and not isinstance(spec.optimizer, GradientDescent):
        yield Fault(
            ("optimizer",), "the retention f_divergence has no momentum", "its step is not a sum of surprises", "use gradient_descent"
        )
    if isinstance(spec.retention, L2Retention) and spec.retention.value_decay and not isinstance(spec.memory, MatrixMemory):
        yield Fault(("retention", "value_decay"), "two decays need a matrix memory", "they act on its rows and its columns")


def undefined_together(spec: Spec) -> Iterator[Fault]:
    """Rules that are defined alone and not together."""
    optimizer, retention, clip = spec.optimizer, spec.retention, spec.attentional_bias.clip
    steps = isinstance(optimizer, GradientDescent) and optimizer.steps > 1
    erases = isinstance(optimizer, GradientDescent) and optimizer.erase_key
    at_chunk_end = isinstance(optimizer, Muon) and optimizer.apply == "chunk_end"
    primal = retention.space == "primal"
    rows = (
        (
            steps and primal, ("optimizer", "steps"), f"several steps per token under the retention {retention.kind}",
            "no paper says whether the weights are mapped after every write or once per token", "say `steps: 1`, or take another retention",
        ),
        (
            isinstance(optimizer, Implicit) and primal, ("retention", "kind"), f"the implicit step under the retention {retention.kind}",
            "it minimizes over a state that nothing maps afterwards", "take another retention",
        ),
        (
            erases and clip is not None, ("attentional_bias", "clip"), "a clip with an erase key",
            "the step along three keys is not one gradient that could be shortened", "remove clip",
        ),
        (
            at_chunk_end and isinstance(retention, ElasticNetRetention), ("optimizer", "apply"),
            "muon at the chunk's end under the retention elastic_net", "its threshold is that of one token's eta, and a chunk has many",
            "say `apply: per_token`, or take another retention",
        ),
    )  # fmt: skip
    for is_there, path, what, why, remedy in rows:
        if is_there:
            yield Fault(path, what, why, remedy)


def value_in_surprise(spec: Spec) -> Iterator[Fault]:
    """A loss of one's own has the value in its slope: of a row of two coordinates, written out."""
    bias = spec.attentional_bias
    if not isinstance(bias, FormulaBias):
        return
    slope = sp.diff(_coordinate(bias.loss(), 1), letter("u1"))
    if not slope.free_symbols & {letter("v1"), letter("v2")}:
        why = "the memory would write the same whatever value it is given"
        yield Fault(("attentional_bias", "loss"), "the slope of the loss in u does not depend on v", why, "for example sum((u - v)**2)")


def _coordinate(expr: sp.Expr, i: int) -> sp.Expr:
    """The expression at coordinate i of two, its reductions carried out."""
    if isinstance(expr, sp.Symbol):
        return letter(f"{expr.name}{i}") if expr.name in ROW_LETTERS else expr
    if isinstance(expr, RowSum | RowMax):
        first, second = (_coordinate(expr.args[0], j) for j in (1, 2))
        return first + second if isinstance(expr, RowSum) else larger(first, second)
    return expr.func(*(_coordinate(argument, i) for argument in expr.args)) if expr.args else expr


MAX_FEATURES = 4096


def width_of_features(spec: Spec) -> Iterator[Fault]:
    """A polynomial map makes keys wide."""
    if not isinstance(spec.feature_map, PolynomialMap):
        return
    width = spec.feature_map.width(spec.key_dim)
    if width > MAX_FEATURES:
        why = f"{MAX_FEATURES} is the most that a state of features times values is built for"
        remedy = "take a lower degree or a smaller layer.head_dim"
        yield Fault(
            ("feature_map", "degree"), f"degree {spec.feature_map.degree} makes {width} features of {spec.key_dim} channels", why, remedy
        )
    if isinstance(spec.memory, VectorMemory):
        yield Fault(
            ("feature_map", "kind"), "polynomial features for a vector memory", "it has one weight per channel of the key", "use matrix"
        )
    for name, gate in spec.gates.items():
        if gate.per == "key_channel":
            why = "the memory's rows are features, and no paper says how a channel acts on them"
            yield Fault(("gates", name, "per"), f"the gate '{name}' is per key_channel under a polynomial map", why, "say `per: head`")


def window_of_rows(spec: Spec) -> Iterator[Fault]:
    """Refuses choices that a window is not defined for."""
    if spec.attentional_bias.window is None:
        return
    excluded = {
        "several steps per token": isinstance(spec.optimizer, GradientDescent) and spec.optimizer.steps > 1,
        "an erase key": isinstance(spec.optimizer, GradientDescent) and spec.optimizer.erase_key,
        "the optimizer preconditioned": isinstance(spec.optimizer, Preconditioned),
        "the optimizer implicit": isinstance(spec.optimizer, Implicit),
    }
    for what in (name for name, is_there in excluded.items() if is_there):
        yield Fault(
            ("attentional_bias", "window"),
            f"a window with {what}",
            "no paper defines the writes of past tokens there",
            "remove one of them",
        )
