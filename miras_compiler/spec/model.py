"""`model:` of a spec: the network around the layer, as Hugging Face models are described."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from miras_compiler.elements.base import Settings, refused

Count = Annotated[int, Field(ge=1, le=2**20)]
Mixer = Literal["memory", "attention", "window"]


class Preset(NamedTuple):
    """Sizes of a model that papers compare at, and the number of parameters that the width of its MLPs is chosen for."""

    parameters: float
    hidden_size: int
    layers: int


PRESETS = {
    "170m": Preset(170e6, 768, 12),
    "340m": Preset(340e6, 1024, 24),
    "760m": Preset(760e6, 1536, 24),
    "1.3b": Preset(1.3e9, 2048, 24),
}
PRESET_VOCABULARY = 32000
RATIO = 8 / 3
HIDDEN_SIZE = 512  # where no preset and no spec says another


class Mlp(Settings):
    """The MLP of every block: W₂(silu(W₁x) ⊙ W₃x)."""

    key = "model.mlp"

    kind: Literal["swiglu", "none"] = Field(default="swiglu", description="swiglu, or none for blocks of mixers alone.")
    ratio: Annotated[float, Field(gt=0, le=64)] | None = Field(
        default=None, description="Its inner width over hidden_size, to the nearest 64; null: 8/3, or what a preset's parameters ask for."
    )


class Attention(Settings):
    """Softmax attention with rotary positions, of the blocks that are not memory and of the wirings mac, mag and mal."""

    key = "model.attention"

    heads: Count | None = Field(default=None, description="Its heads; null: heads of width 64, or one if hidden_size has no such heads.")
    rope: Annotated[float, Field(gt=1, le=1e12)] = Field(default=10000.0, description="The base of the rotary positions.")
    window: Count = Field(default=512, description="How many tokens a sliding window sees, its own among them.")


class Values(Settings):
    """Numbers instead of tokens: a patch of all channels goes in as one token, and the numbers that follow the last patch come out."""

    key = "model.input"

    kind: Literal["values"] = Field(description="values: series of numbers.")
    channels: Count = Field(default=1, description="Numbers at every time.")
    patch: Count = Field(default=16, description="Times that make one token.")
    horizon: Count = Field(default=96, description="Times that are forecast.")


class Model(Settings):
    """The model: its sizes, its blocks, and how memory and attention are wired in a block. It is a language model, or forecasts values."""

    key = "model"

    preset: Literal["170m", "340m", "760m", "1.3b"] | None = Field(
        default=None, description="Vocabulary, hidden size, layers and the MLP's width at once; fields beside it override it."
    )
    input: Values | None = Field(default=None, description="Numbers, for a model that forecasts; null: tokens, for a language model.")
    vocab_size: Count | None = Field(
        default_factory=lambda data: None if data.get("input") else PRESET_VOCABULARY if data.get("preset") else 256,
        description="The number of tokens that there are; 256, for bytes, or 32000 in a preset; null where the input is values.",
    )
    hidden_size: Count = Field(
        default_factory=lambda data: PRESETS[data["preset"]].hidden_size if data.get("preset") else HIDDEN_SIZE,
        description="The width of the residual stream; 512, or the preset's.",
    )
    layers: Annotated[int, Field(ge=1, le=4096)] = Field(
        default_factory=lambda data: PRESETS[data["preset"]].layers if data.get("preset") else 12,
        description="The number of blocks; 12, or the preset's.",
    )
    mlp: Mlp = Field(default=Mlp(), description="What follows the mixer in every block.")
    tie_embeddings: bool = Field(
        default_factory=lambda data: not data.get("input"),
        description="Whether the output projection is the embedding; true, or false where the input is values.",
    )
    pattern: Annotated[tuple[Mixer, ...], Field(min_length=1, max_length=64, strict=False)] = Field(
        default=("memory",), description="The mixers of the blocks, repeated over the layers: memory, attention or window."
    )
    attention: Attention = Field(default=Attention(), description="The attention of the model, where it has any.")
    wiring: Literal["lmm", "mac", "mag", "mal"] = Field(
        default="lmm", description="What the block of a memory is: the memory alone, or one of Titans' wirings with attention."
    )
    segment: Count | None = Field(
        default_factory=lambda data: 256 if data.get("wiring") == "mac" else None, description="Tokens of a segment, for mac; 256."
    )
    persistent: Annotated[int, Field(ge=0, le=4096)] | None = Field(
        default_factory=lambda data: None if data.get("wiring", "lmm") == "lmm" else 4,
        description="Learned tokens before the sequence (mac: before each segment), for mac, mag and mal; 4.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.input is not None and self.vocab_size is not None:
            raise refused("a vocabulary of values", "the input is values, not tokens", "leave vocab_size out, or input")
        if self.input is None and self.vocab_size is None:
            raise refused("tokens without a vocabulary", "vocab_size is null", "say how many tokens there are")
        if self.input is not None and self.tie_embeddings:
            raise refused("a tied embedding of values", "patches go in and forecasts come out", "leave tie_embeddings out")
        if self.wiring != "lmm" and "memory" not in self.pattern:
            raise refused(f"the wiring {self.wiring} without a memory", "pattern has none", "add memory to pattern, or leave wiring out")
        if self.segment is not None and self.wiring != "mac":
            raise refused("a segment without segments", "only the wiring mac has them", "leave segment out, or set wiring: mac")
        if self.persistent is not None and self.wiring == "lmm":
            raise refused("persistent tokens without attention", "the wiring lmm has none", "leave persistent out, or set wiring")
        if "attention" in self.model_fields_set and not self.has_attention and self.attention != Attention():
            raise refused("an attention that nothing uses", "pattern and wiring have none", "leave attention out, or add it to pattern")
        if self.attention.heads is not None and self.hidden_size % (2 * self.attention.heads):
            raise refused(
                f"a hidden_size of {self.hidden_size} in {self.attention.heads} heads of attention",
                "rotary positions turn pairs of channels",
                "take a multiple of twice the heads",
            )
        if self.mlp.kind == "none" and self.mlp.ratio is not None:
            raise refused("the ratio of no MLP", "mlp.kind is none", "leave ratio out, or set kind: swiglu")
        if self.preset and self.mlp.kind == "none":
            raise refused(
                "a preset without an MLP", "the width of the MLP follows from the preset's number of parameters", "leave mlp or preset out"
            )
        return self

    @property
    def has_attention(self) -> bool:
        """True if some block attends."""
        return self.wiring != "lmm" or set(self.pattern) != {"memory"}

    @property
    def attention_heads(self) -> int:
        """The heads of attention."""
        return self.attention.heads or (self.hidden_size // 64 if self.hidden_size % 64 == 0 else 1)
