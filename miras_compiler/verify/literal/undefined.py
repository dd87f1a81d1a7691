"""Combinations for which MATH has no rule: the literal model refuses them, and names what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from miras_compiler.verify.literal.mirror import PRIMAL


def missing_definitions(fields: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each definition that this combination lacks."""
    memory, bias, retention, optimizer = (fields[role] for role in ("memory", "attentional_bias", "retention", "optimizer"))
    vector, window, primal = memory["kind"] == "vector", (bias.get("window") or 1) > 1, retention["kind"] in PRIMAL
    steps, erases = optimizer.get("steps", 1) > 1, bool(optimizer.get("erase_key"))
    muon, at_end = optimizer["kind"] == "muon", optimizer["kind"] == "muon" and optimizer["apply"] == "chunk_end"
    rules = {
        "several writes per token with a window": steps and window,
        "several writes per token under a primal retention": steps and primal,
        "an erase key with a window": erases and window,
        "an erase key through a norm or a residual": erases and (memory["norm"] != "none" or memory["residual"]),
        "a clipped surprise with an erase key": erases and bias.get("clip") is not None,
        "an erase key for a memory that is no matrix": erases and memory["kind"] != "matrix",
        "an erase key for a bias that is not l2": erases and bias["kind"] != "l2",
        "the preconditioner's write key for the older tokens of a window": optimizer["kind"] == "preconditioned" and window,
        "the implicit step of a window": optimizer["kind"] == "implicit" and window,
        "the implicit step under a primal retention": optimizer["kind"] == "implicit" and primal,
        "the implicit step with eta per key channel": optimizer["kind"] == "implicit" and _per(fields, "eta") == "key_channel",
        "the orthogonalization of a vector": muon and vector,
        "the threshold of elastic_net at a chunk's end": at_end and retention["kind"] == "elastic_net",
        "a momentum of f_divergence": retention["kind"] == "f_divergence" and optimizer["kind"] in ("momentum", "nesterov", "muon"),
        "a linear path of reads under a primal retention": primal and fields["chunk"]["retention"] == "chunk_end",
        "a vector memory of polynomial features": vector and fields["feature_map"]["kind"] == "polynomial",
    }
    for what, lacks in rules.items():
        if lacks:
            yield f"{what} is not defined"


def _per(fields: Mapping[str, Any], name: str) -> str:
    return str(fields["gates"].get(name, {}).get("per", "head"))
