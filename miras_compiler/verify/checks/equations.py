"""The generated forms compute the literal equations, and each other."""

from __future__ import annotations

import torch

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.literal.mirror import PRIMAL, mirror_map, stationarity
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.subject import CROSSING, Subject, call

TILES = (1, 5, 16, 64)
FAR = 8.0  # e^−8 is about as close to an end as leaves a gradient of an entropy its digits


def literal_forward(subject: Subject, tally: Tally) -> None:
    for label, ((expected, expected_state), _) in subject.expected.items():
        output, state = subject.recurrent[label]
        tally.about(subject.roundings[label])
        tally.compare(f"{label} o", output, expected)
        tally.compare_all(f"{label} state", state, expected_state)
    tally.remarks.append(f"T {subject.long}, eta ≤ {subject.step:g}, amplification {subject.amplification:.2g}")


def literal_trace(subject: Subject, tally: Tally) -> None:
    """ℓ, ‖e‖, ‖g‖ and ‖A‖, in this order."""
    inputs = subject.probes[CROSSING]
    with torch.no_grad():
        trace = call(subject.package.trace, inputs)
    for (name, values), traced in zip(subject.literal_trace(inputs)._asdict().items(), trace, strict=True):
        tally.compare(name, traced, values)


def mirror_map_is_the_argmin(subject: Subject, tally: Tally) -> None:
    """The literal ψ, to which the forms are held, is the argmin on the dual states that the package itself reaches.

    Larger ones are scaled down: where W has come close to an end of its domain, ∇F(W) has no digits left to check.
    """
    retention = subject.fields["retention"]
    for label, inputs in subject.probes.items():
        _, state = subject.recurrent[label]
        for name in subject.literal.weight_names:
            for which, dual in {"A_0": inputs.state[name], "A_T": state[name], "3 A_T": 3 * state[name]}.items():
                dual = dual * (FAR / dual.abs().max()).clamp(max=1)
                violation = stationarity(retention, dual, mirror_map(retention, dual))
                assert violation is not None
                tally.add(f"{label} {which} of {name}", violation)


def has_argmin(subject: Subject) -> bool:
    return subject.fields["retention"]["kind"] not in ("none", "l2", "lq_printed", *PRIMAL)


def parallel_form(subject: Subject, tally: Tally) -> None:
    with torch.no_grad():
        for label, inputs in subject.probes.items():
            expected, expected_state = subject.recurrent[label]
            tally.about(subject.roundings[label])
            for tile in TILES:
                output, state = subject.run(subject.package.torch_chunk, tile=tile)(inputs)
                tally.compare(f"{label} tile {tile} o", output, expected)
                tally.compare_all(f"{label} tile {tile} state", state, expected_state)
    tally.remarks.append(f"T 1, 3, {subject.long}; tile {', '.join(map(str, TILES))}")


def operators(subject: Subject, tally: Tally) -> None:
    """The two dispatching operators on this machine, whatever `auto` means here."""
    inputs = subject.probes[CROSSING]
    expected, expected_state = subject.recurrent[CROSSING]
    tally.about(subject.roundings[CROSSING])
    with torch.no_grad():
        for name, operator in subject.operators.items():
            for backend in ("auto", "torch"):
                output, state = subject.run(operator, backend=backend)(inputs)
                tally.compare(f"{name} {backend} o", output, expected)
                tally.compare_all(f"{name} {backend} state", state, expected_state)


EQUATIONS = (
    Check("equations", "recurrent form ≡ literal loss and memory", 1e-10, literal_forward),
    Check("equations", "trace ≡ literal ℓ, ‖e‖, ‖g‖, ‖A‖", 1e-10, literal_trace),
    Check("equations", "ψ(A) is the argmin of F(W) − ⟨A, W⟩", 1e-10, mirror_map_is_the_argmin, has_argmin),
    Check("equations", "chunk form ≡ recurrent form, any tile", 1e-9, parallel_form),
    Check("equations", "chunk and fused_recurrent operators ≡ recurrent form", 1e-9, operators),
)
