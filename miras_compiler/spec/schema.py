"""The spec that a user writes, as frozen pydantic models that YAML and Python share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, PrivateAttr, Strict, ValidationError, field_validator

from miras_compiler.elements.base import Settings
from miras_compiler.elements.bias import AnyBias, ThresholdBias
from miras_compiler.elements.feature_map import AnyFeatureMap, IdentityMap
from miras_compiler.elements.memory import AnyMemory
from miras_compiler.elements.memory.base import DeepMemory
from miras_compiler.elements.optimizer import AnyOptimizer, GradientDescent
from miras_compiler.elements.retention import AnyRetention, NoRetention
from miras_compiler.errors import SpecError
from miras_compiler.spec.chunk import Chunk
from miras_compiler.spec.fault import spec_error
from miras_compiler.spec.gates import FREE_LETTER, GATE_LETTERS, Gate, GateLetter, GateRange, range_of
from miras_compiler.spec.layer import Layer
from miras_compiler.spec.ledger import LedgerEntry
from miras_compiler.spec.model import Model
from miras_compiler.spec.names import GateName, Line, SpecName
from miras_compiler.spec.source import Source, place_of


class Spec(Settings):
    """One point of the design space. Built in Python it is checked as a whole: SpecError says all that is wrong with it."""

    name: Annotated[
        SpecName, Field(description="The name of the model: the generated package, its operators and its layer are called by it.")
    ]
    paper: Annotated[Line, Field(description="What it implements, for the headers of the generated files.")] = ""
    memory: Annotated[AnyMemory, Field(description="What the memory M(W; x) is.")]
    feature_map: Annotated[AnyFeatureMap, Field(description="What is applied to keys and queries first.")] = IdentityMap()
    attentional_bias: Annotated[
        AnyBias, Field(description="The loss ℓ(u, v): how far what the memory says of a key, u, is from the value v.")
    ]
    retention: Annotated[
        AnyRetention,
        Field(description="What is kept of the past: the regularizer F, whose mirror map ψ makes the weights of the dual state."),
    ] = NoRetention()
    optimizer: Annotated[AnyOptimizer, Field(description="How a surprise becomes an update of the state.")] = GradientDescent()
    gates: Annotated[
        dict[GateName, Gate],
        Field(description="The coefficients of the rule, one value per token and head, by name; every rule reads the step size eta."),
    ]
    chunk: Annotated[Chunk, Field(description="What a chunk of tokens means.")] = Chunk()
    layer: Annotated[Layer, Field(description="The layer around the memory.")] = Layer()
    model: Annotated[Model, Field(description="The language model around the layer.")] = Model()
    ledger: Annotated[
        tuple[LedgerEntry, ...],
        Strict(False),
        Field(description="Where the spec follows its paper, equation by equation, and where it does not."),
    ] = ()

    _source: Source | None = PrivateAttr(default=None)

    if not TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields)
            _check(self)

        __init__.__pydantic_base_init__ = True

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As pydantic's; raises SpecError with everything that is wrong."""
        spec = super().model_validate(obj, **options)
        _check(spec)
        return spec

    @classmethod
    def refusal(cls, error: ValidationError, tree: Any) -> SpecError:
        """All faults of a tree, those of its combination included."""
        from miras_compiler.spec.load import faults_of_tree

        return spec_error(faults_of_tree(error, tree), None)

    @field_validator("gates", mode="before")
    @classmethod
    def _fill_init(cls, gates: Any) -> Any:
        """A gate's `init` defaults by its name."""
        if not isinstance(gates, dict):
            return gates
        filled = dict(gates)
        for name, gate in gates.items():
            init = GATE_LETTERS.get(name, FREE_LETTER).init
            if isinstance(gate, dict):
                filled[name] = {"init": init, **gate}
            elif isinstance(gate, Gate) and "init" not in gate.model_fields_set:
                filled[name] = gate.model_copy(update={"init": init})
        return filled

    def __eq__(self, other: object) -> bool:
        """Specs are equal when they say the same, wherever they were written."""
        return isinstance(other, Spec) and self.model_dump() == other.model_dump()

    def __repr__(self) -> str:
        memory, bias, retention, optimizer = self.memory, self.attentional_bias, self.retention, self.optimizer
        return f"Spec({self.name}: {memory.kind} memory, {bias.kind} bias, {retention.kind} retention, {optimizer.kind})"

    @property
    def source(self) -> Source | None:
        """The text that the spec was read from; None when it was built in Python."""
        return self._source

    def written_in(self, source: Source) -> None:
        """Remembers where the spec was written, for messages."""
        self._source = source

    @property
    def location(self) -> str:
        """The spec's file, as it was named to us; "" when it was built in Python."""
        return self._source.place if self._source else ""

    @property
    def key_dim(self) -> int:
        """K, the width of a key."""
        return self.layer.head_dim

    @property
    def feature_dim(self) -> int:
        """K_φ, the width of φ(k): the number of rows of a memory's first weights."""
        return self.feature_map.width(self.key_dim)

    @property
    def value_dim(self) -> int:
        """V, the width of a value."""
        return self.layer.value_dim

    @property
    def model_heads(self) -> int:
        """The heads of keys of a memory in a model: those of the layer; in a preset as many as fill it, if no gate has a start for each."""
        heads, rest = divmod(self.model.hidden_size, self.layer.head_dim)
        per_head = any(isinstance(gate.init, tuple) for gate in self.gates.values())
        return heads if self.model.preset and not rest and not per_head else self.layer.heads

    @property
    def hidden_dim(self) -> int:
        """N, the hidden width of a deep memory; 0 where there is none."""
        return self.memory.expansion * self.key_dim if isinstance(self.memory, DeepMemory) else 0

    @property
    def has_grid(self) -> bool:
        """True if all gradients of a chunk are taken at the state that enters it (a chunk of one token is exact)."""
        return self.chunk.gradient == "chunk_start" and self.chunk.size > 1

    @property
    def linear_reads(self) -> bool:
        """True if reads inside a chunk follow a linear path and ψ is applied at its end only."""
        return self.chunk.gradient == "chunk_start" and self.chunk.retention == "chunk_end"

    def used_gates(self) -> tuple[str, ...]:
        """The gates that the rule reads, in canonical order."""
        used = {"eta", *self.retention.gates(), *self.optimizer.gates(), *self.attentional_bias.gates()}
        return tuple(sorted(used, key=self.gate_order))

    def gate_letter(self, name: str) -> GateLetter:
        """The meaning of a gate: its letter's, that of a threshold if the bias uses it as one, else a free coefficient."""
        bias = self.attentional_bias
        other = GATE_LETTERS["delta"] if isinstance(bias, ThresholdBias) and bias.delta == name else FREE_LETTER
        return GATE_LETTERS.get(name, other)

    def gate_range(self, name: str) -> GateRange:
        """The range of a declared gate, and the parametrization by which a layer keeps it there."""
        return range_of(self.gates[name], self.gate_letter(name))

    @staticmethod
    def gate_order(name: str) -> tuple[int, str]:
        """Sorts gates: letters in the order of their table, then free names by the alphabet."""
        letters = list(GATE_LETTERS)
        return (letters.index(name) if name in letters else len(letters), name)

    def where(self, path: str) -> str:
        """ "specs/x.yaml:9" for the dotted key `path` (or its nearest parent); the path itself for a spec built in Python."""
        return place_of(self._source, path)


def _check(spec: Spec) -> None:
    from miras_compiler.spec.checks import check_spec

    check_spec(spec)
