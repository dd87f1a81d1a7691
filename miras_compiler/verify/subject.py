"""One package under verification: how to draw inputs for it, call its operators, and pull gradients back through a call.

Values that several checks need (the probes, the literal model's results on them, the recurrent form's) are computed once and kept here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor

from miras_compiler.verify.inputs import Inputs, InputShape, Result, Run, draw_inputs, has_grid, period
from miras_compiler.verify.literal import LiteralModel, LiteralTrace
from miras_compiler.verify.measure import fits_float32
from miras_compiler.verify.package import Operator, Package
from miras_compiler.verify.rounding import Pulled, rounding_of
from miras_compiler.verify.written import Written

LEAST_STEP = 0.5**9
CALM = 2.0  # largest relative change of the output per relative change of v, or of the weights, on which precisions are compared
SLIGHT = 1e-6  # such a change
UNCHUNKED_LENGTH = 37  # tokens tried where the function has no chunk grid
LONGEST_CHUNK = 128  # longer ones are crossed only from a state near their end
BEFORE, AFTER = 4, 5  # tokens on either side of a chunk boundary
TILE = 16  # the tile length of a chunk form, where nothing else is asked for
CROSSING = "across a boundary"


@dataclass(frozen=True)
class Subject:
    """A spec as the dictionary of its fields, and the package generated from it; `written` is the folder that it lies in, if in any.

    Step sizes are at most `full_step`.
    """

    fields: Mapping[str, Any]
    package: Package
    seed: int = 0
    quick: bool = False
    written: Written | None = None
    full_step: float = 0.5
    literal: LiteralModel = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "literal", LiteralModel(self.fields))

    @property
    def has_grid(self) -> bool:
        return has_grid(self.fields)

    @property
    def chunk(self) -> int:
        """Length of the chunk grid; 1 where the function has none."""
        return int(self.fields["chunk"]["size"]) if self.has_grid else 1

    @property
    def border(self) -> int:
        """The tokens after which positions begin again: to the end of a chunk, or to a reset; 1 where the function has no grid."""
        return period(self.fields)

    @property
    def long(self) -> int:
        """An odd number of tokens that crosses a chunk boundary, two where that is cheap; inside one chunk where a chunk is very long."""
        if not self.has_grid or self.chunk > LONGEST_CHUNK:
            return 23 if self.quick else UNCHUNKED_LENGTH
        return 2 * self.chunk + 5 if self.chunk <= 16 or (self.chunk <= 64 and not self.quick) else self.chunk + 5 + self.chunk % 2

    def inputs(
        self, tokens: int, *, seed: int = 0, position: int | None = None, batch: int = 2, heads: int = 2, key: int = 4,
        eta: float | None = None,
    ) -> Inputs:  # fmt: skip
        """Random inputs; K ≠ V where the memory allows it, so that mixed-up axes show."""
        value = key if self.fields["memory"]["residual"] or self.fields["memory"]["kind"] == "vector" else key + 1
        shape = InputShape(batch, tokens, heads, key, value)
        return draw_inputs(self.fields, shape, 1000 * self.seed + seed, self.step if eta is None else eta, position)

    def crossing(self, seed: int, batch: int = 2, eta: float | None = None, key: int = 4) -> Inputs:
        """The shortest interesting sequence: begins inside a chunk, every entry of its state random, and ends inside the next one.

        Where the memory begins anew, it does so on the border between the two.
        """
        tokens = BEFORE + AFTER if self.has_grid else TILE + 1
        return self.inputs(tokens, seed=seed, position=self.border - BEFORE, batch=batch, key=key, eta=eta)

    @cached_property
    def probes(self) -> dict[str, Inputs]:
        """Inputs that together cross chunk boundaries, end inside a chunk, begin inside one, and begin with the weights alone."""
        return self._probes(self.step)

    def _probes(self, eta: float) -> dict[str, Inputs]:
        bare = self.inputs(3, seed=3, eta=eta)
        return {
            f"T {self.long}": self.inputs(self.long, seed=1, eta=eta),
            "T 1": self.inputs(1, seed=2, eta=eta),
            "T 3, weights alone": replace(bare, state={name: bare.state[name] for name in self.literal.weight_names}),
            CROSSING: self.crossing(4, eta=eta),
        }

    @cached_property
    def expected(self) -> dict[str, tuple[Result, dict[str, Tensor]]]:
        """The literal model's results and gradients on the probes."""
        return {label: pull_back(self.literal_run, inputs) for label, inputs in self.probes.items()}

    @cached_property
    def recurrent(self) -> dict[str, Result]:
        """The recurrent form's results on the probes."""
        with torch.no_grad():
            return {label: self.run(self.package.naive_recurrent)(inputs) for label, inputs in self.probes.items()}

    @property
    def step(self) -> float:
        """Largest step size: the full one, quartered until the literal model amplifies changes at most twice and explodes on no probe."""
        return self._calm_step[0]

    @property
    def amplification(self) -> float:
        """Relative change of the literal output per relative change of v at that step size; of the weights, where only signs of v count."""
        return self._calm_step[1]

    def calmer(self) -> Subject | None:
        """The same with a quarter of the step size, if there is one to be tried."""
        return replace(self, full_step=self.step / 4) if self.step > LEAST_STEP else None

    @cached_property
    def _calm_step(self) -> tuple[float, float]:
        eta = self.full_step
        while not (amplification := self._amplification(eta)) <= CALM or self._explodes(eta):  # nan where it explodes there
            if eta <= LEAST_STEP:
                return eta, math.inf if amplification <= CALM else amplification
            eta /= 4
        return eta, amplification

    def _explodes(self, eta: float) -> bool:
        """True if the literal model leaves float32 on a probe."""
        with torch.no_grad():
            return not all(within_float32(self.literal_run(inputs)) for inputs in self._probes(eta).values())

    def _amplification(self, eta: float) -> float:
        """One run on three batches: as it is, with v slightly changed, and with the weights."""
        inputs = self.inputs(self.long, seed=99, eta=eta)
        generator = torch.Generator().manual_seed(self.seed)

        def noise(x: Tensor) -> Tensor:
            return SLIGHT * torch.randn(x.shape, generator=generator, dtype=x.dtype)

        change = noise(inputs.v)
        weights = {name: inputs.state[name] for name in self.literal.weight_names}
        changes = {name: noise(x) * x.norm() / x.numel() ** 0.5 for name, x in weights.items()}
        thrice = inputs.map(lambda tensor: torch.cat((tensor, tensor, tensor)))
        state = {name: torch.cat((x, x, x + changes[name] if name in changes else x)) for name, x in inputs.state.items()}
        thrice = replace(thrice, v=torch.cat((inputs.v, inputs.v + change, inputs.v)), state=state, parameters=inputs.parameters)
        with torch.no_grad():
            output, _ = self.literal_run(thrice)
        before, *after = output.chunk(3)
        of_values, of_weights = (float((each - before).norm() / before.norm()) for each in after)
        return of_weights / SLIGHT if of_values == 0 else of_values / float(change.norm() / inputs.v.norm())

    def literal_run(self, inputs: Inputs) -> Result:
        """The literal model under the contract's precisions: float64 for float64, else computed in float32."""
        dtype = inputs.q.dtype
        given = inputs if dtype == torch.float64 else inputs.map(Tensor.float)
        output, state, _ = self.literal(given.q, given.k, given.v, given.gates, given.parameters, given.state)
        return output.to(dtype), state

    def rounding(
        self, inputs: Inputs, run: Run | None = None, pulled: Callable[[], Pulled] | None = None
    ) -> Callable[[], Mapping[str, float]]:
        """The effect of rounding on the literal model's results and gradients on these inputs (or those of `run`), as a function.

        `pulled` gives these results and gradients, where somebody else needs them, too.
        """
        return cache(lambda: rounding_of(lambda given: pull_back(run or self.literal_run, given), inputs, pulled))

    @cached_property
    def roundings(self) -> dict[str, Callable[[], Mapping[str, float]]]:
        """The same of every probe: several checks compare on the same ones."""
        return {label: self.rounding(inputs, pulled=partial(self.pulled, label)) for label, inputs in self.probes.items()}

    def pulled(self, label: str) -> Pulled:
        """The literal model's results and gradients on a probe."""
        return self.expected[label]

    def literal_trace(self, inputs: Inputs) -> LiteralTrace:
        """ℓ, ‖e‖, ‖g‖ and ‖A‖ of the literal model, without gradients."""
        with torch.no_grad():
            return self.literal(inputs.q, inputs.k, inputs.v, inputs.gates, inputs.parameters, inputs.state)[2]

    def run(self, operator: Operator, **options: object) -> Run:
        """`operator` as a function of inputs that also returns the final state."""
        return lambda inputs: call(operator, inputs, output_final_state=True, **options)

    @property
    def forms(self) -> dict[str, Run]:
        """The two forms in PyTorch, between which the operators choose on a CPU."""
        return {"recurrent": self.run(self.package.naive_recurrent), "chunk": self.run(self.package.torch_chunk)}

    @property
    def operators(self) -> dict[str, Operator]:
        """The operators that dispatch."""
        return {"chunk operator": self.package.chunk, "fused_recurrent operator": self.package.fused_recurrent}


def within_float32(result: tuple[Tensor, Mapping[str, Tensor]]) -> bool:
    """True if outputs and states are numbers of float32: a rule that explodes makes larger ones."""
    output, state = result
    return all(map(fits_float32, (output, *state.values())))


def call(operator: Operator, inputs: Inputs, **options: object) -> Any:
    """The operator's own call: q, k, v in order, all else by keyword."""
    if inputs.cu_seqlens is not None:
        options["cu_seqlens"] = inputs.cu_seqlens
    return operator(inputs.q, inputs.k, inputs.v, **inputs.gates, **inputs.parameters, initial_state=dict(inputs.state), **options)


def pull_back(run: Run, inputs: Inputs, cotangents: torch.dtype = torch.float64) -> tuple[Result, dict[str, Tensor]]:
    """The run's result, and the gradient of ⟨outputs and final state, fixed random cotangents⟩ to every input.

    The cotangents are rounded to `cotangents`, so that runs in different precisions can be asked for the same gradient.
    """
    tracked = inputs.tracked()
    output, state = run(tracked)
    total = weighted((output, state), cotangents)
    leaves = tracked.leaves()
    gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    detached = {name: tensor.detach() for name, tensor in state.items()}
    return (output.detach(), detached), dict(zip(leaves, gradients, strict=True))


def weighted(result: Result, cotangents: torch.dtype = torch.float64) -> Tensor:
    """⟨outputs and final state, fixed random cotangents⟩."""
    output, state = result
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros((), dtype=torch.float64)
    for _, tensor in sorted({"": output, **state}.items()):
        if tensor.is_floating_point():
            cotangent = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(cotangents)
            total = total + (tensor.double() * cotangent).sum()
    return total
