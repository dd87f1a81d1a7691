"""The part of Hugging Face transformers that models use; type checkers see the declarations, which ask for no installation."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:

    class PreTrainedConfig:
        auto_map: dict[str, str]

        def __init__(self, **fields: Any) -> None: ...
        def __post_init__(self, **others: Any) -> None: ...
        @classmethod
        def register_for_auto_class(cls, auto_class: str = "AutoConfig") -> None: ...

    class PreTrainedModel(nn.Module):
        gradient_checkpointing: bool

        def __init__(self, config: Any) -> None: ...
        def post_init(self) -> None: ...
        def save_pretrained(self, save_directory: Any, **options: Any) -> None: ...
        def loss_function(self, logits: Tensor, labels: Tensor, vocab_size: int, **options: Any) -> Tensor: ...
        @classmethod
        def register_for_auto_class(cls, auto_class: str = "AutoModel") -> None: ...

    class GenerationMixin:
        def generate(self, *inputs: Any, **options: Any) -> Any: ...

    class GradientCheckpointingLayer(nn.Module): ...

    class CacheLayerMixin:
        def __init__(self) -> None: ...

    class Cache:
        def __init__(self, layers: list[Any]) -> None: ...

    class BaseModelOutputWithPast(dict[str, Any]):
        last_hidden_state: Tensor
        hidden_states: tuple[Tensor, ...] | None

        def to_tuple(self) -> tuple[Any, ...]: ...

    class CausalLMOutputWithPast(BaseModelOutputWithPast):
        logits: Tensor
        loss: Tensor | None

    class ModelOutput(dict[str, Any]):
        def to_tuple(self) -> tuple[Any, ...]: ...

    def guard_torch_init_functions() -> AbstractContextManager[None]: ...

    CACHE: str
    GENERATION: frozenset[str]
else:
    from transformers import GenerationConfig, GenerationMixin, PreTrainedConfig, PreTrainedModel
    from transformers.cache_utils import Cache, CacheLayerMixin
    from transformers.initialization import guard_torch_init_functions
    from transformers.modeling_layers import GradientCheckpointingLayer
    from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
    from transformers.utils import ModelOutput

    CACHE = "cache" if "cache" in BaseModelOutputWithPast.__dataclass_fields__ else "past_key_values"  # in outputs: since 5.24, before
    GENERATION = frozenset(GenerationConfig._get_default_generation_params())

__all__ = [
    "CACHE", "GENERATION", "BaseModelOutputWithPast", "Cache", "CacheLayerMixin", "CausalLMOutputWithPast", "GenerationMixin",
    "GradientCheckpointingLayer", "ModelOutput", "PreTrainedConfig", "PreTrainedModel", "guard_torch_init_functions", "register",
]  # fmt: skip


def register(config: type[PreTrainedConfig], model: type[PreTrainedModel], whole: type[PreTrainedModel]) -> None:
    """Tells the Auto classes of the models of a configuration, and saved folders of their code.

    `whole` is the model with its head: a language model, or one that forecasts. The configuration's `model_type` is left alone: a folder
    loads the code beside its weights, whatever else was imported.
    """
    import transformers

    forecasts = whole.__name__.endswith("ForForecasting")
    head = transformers.AutoModelForTimeSeriesPrediction if forecasts else transformers.AutoModelForCausalLM
    for auto, own in ((transformers.AutoModel, model), (head, whole)):
        auto.register(config, own, exist_ok=True)
        own.register_for_auto_class(auto.__name__)
