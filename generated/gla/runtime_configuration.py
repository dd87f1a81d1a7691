"""The base of the configurations of all packages: their fields, and the checks on them."""

from __future__ import annotations

from typing import Any, ClassVar

from .runtime_transformers import GENERATION, PreTrainedConfig

LEAST = {
    "vocab_size": 1, "hidden_size": 1, "num_hidden_layers": 1, "num_heads": 1, "head_dim": 1, "value_dim": 1, "intermediate_size": 0,
    "num_value_heads": 1, "num_attention_heads": 1, "window": 1, "segment": 1, "persistent": 0, "channels": 1, "patch": 1, "horizon": 1,
}  # fmt: skip
ABOVE_ZERO = ("mlp_ratio", "initializer_range", "rope_theta")
FLAGS = ("tie_word_embeddings", "use_cache")
TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id")
OF_TRANSFORMERS = {  # keys of a saved configuration that are no fields
    "auto_map", "torch_dtype", "name_or_path", "transformers_version", "model_type", "num_labels", "output_attentions",
    "attn_implementation", "experts_implementation",
}  # fmt: skip


class MemoryConfig(PreTrainedConfig):
    """The configuration of a model of one package; `digest` is that of its spec.

    Raises ValueError for a field that does not exist, and for values without a meaning.
    """

    keys_to_ignore_at_inference: ClassVar[list[str]] = ["cache", "past_key_values"]  # the Trainer adds a list to it

    digest: str = ""
    vocab_size: int | None = 256  # None: the input is values, in patches
    hidden_size: int = 512
    num_hidden_layers: int = 12
    num_heads: int = 16
    head_dim: int = 64
    value_dim: int | None = None  # head_dim
    intermediate_size: int | None = None  # mlp_ratio · hidden_size, to the nearest 64; 0: no MLP
    mlp_ratio: float = 8 / 3
    tie_word_embeddings: bool = True
    initializer_range: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **others: Any) -> None:
        own = {name for name in others if name not in OF_TRANSFORMERS and not name.startswith("_")}
        if own:
            raise ValueError(_unknown(type(self).__name__, sorted(own)))
        super().__post_init__(**others)
        if self.value_dim is None:
            self.value_dim = self.head_dim
        if self.intermediate_size is None and isinstance(self.mlp_ratio, int | float) and isinstance(self.hidden_size, int):
            self.intermediate_size = 64 * max(1, round(self.mlp_ratio * self.hidden_size / 64))
        self.check()

    @property
    def takes_values(self) -> bool:
        """True if the input is values, not tokens."""
        return hasattr(self, "patch")

    def check(self) -> None:
        """Raises ValueError where a field, by name, has no meaning, or belongs to another package."""
        for name, least in LEAST.items():
            value = getattr(self, name, least)
            if name == "num_value_heads" and value is None:
                continue
            if name == "vocab_size" and self.takes_values:
                if value is not None:
                    raise ValueError(f"vocab_size: expected None, because the input is values, got {value!r}")
            elif not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")
        for name in ABOVE_ZERO:
            value = getattr(self, name, 1.0)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
                raise ValueError(f"{name}: expected a number above 0, got {value!r}")
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        for name in TOKENS:
            ids = getattr(self, name)
            for token in ids if isinstance(ids, list | tuple) else [] if ids is None else [ids]:
                if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < (self.vocab_size or 0):
                    raise ValueError(f"{name}: expected a token below vocab_size = {self.vocab_size}, or None, got {token!r}")
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size: expected a multiple of num_heads = {self.num_heads}, got {self.hidden_size}")
        grouped = getattr(self, "num_value_heads", None)
        if grouped is not None and grouped % self.num_heads:
            raise ValueError(f"num_value_heads: expected a multiple of num_heads = {self.num_heads}, or None, got {grouped}")
        heads = getattr(self, "num_attention_heads", None)
        if heads is not None and self.hidden_size % (2 * heads):
            raise ValueError(f"hidden_size: expected a multiple of twice num_attention_heads = {heads}, got {self.hidden_size}")
        own = type(self).digest
        if self.digest != own:
            remedy = (
                f"load it with trust_remote_code=True, or with the package that wrote it; set digest to {own!r} if you know that they fit"
            )
            raise ValueError(f"digest: the checkpoint is of another spec, {self.digest!r}, than this package, {own!r}; {remedy}")


def _unknown(config: str, names: list[str]) -> str:
    generation = [name for name in names if name in GENERATION]
    if generation:
        return f"{generation[0]}: a parameter of generation is no field of {config}; pass it to generate, or set generation_config"
    return f"{names[0]}: {config} has no such field"
