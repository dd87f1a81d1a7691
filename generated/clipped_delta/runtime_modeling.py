"""Models of a package's memory in the form of Hugging Face transformers, versions 5.6 to 5.24: hidden states, and a language model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from .runtime_blocks import Block, RMSNorm
from .runtime_configuration import MemoryConfig
from .runtime_decoding import current_steps, decoding
from .runtime_model_arguments import check_mask, check_tokens, check_vocabulary, refuse, wanted
from .runtime_model_cache import MemoryCache, read_cache, rows_of
from .runtime_sequences import Inside, exact_rows, shifted
from .runtime_transformers import (
    CACHE,
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    GenerationMixin,
    PreTrainedModel,
    guard_torch_init_functions,
)

IGNORED = -100  # a label that nothing is predicted for


class MemoryPreTrainedModel(PreTrainedModel):
    """The methods that transformers asks of both models."""

    config: MemoryConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["Block"]
    _is_stateful = True  # assisted decoding, which takes tokens back, is refused

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:
        """As in transformers; the folder of a model with a head names the one inside for `AutoModel`, too."""
        body = getattr(self, "body", None)
        if body is not None:
            inside = f"{body.__module__.rpartition('.')[2]}.{body.__name__}"
            self.config.auto_map = {**(getattr(self.config, "auto_map", None) or {}), "AutoModel": inside}
        super().save_pretrained(save_directory, **options)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """`generate` makes no cache of keys and values: the first forward pass makes ours."""
        return False

    def compile_blocks(self, **options: Any) -> None:
        """Compiles each block by itself: blocks of one kind are one program. The options are those of torch.compile."""
        for module in self.modules():
            if isinstance(module, Block):
                module.compile(**options)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """The start of a module's own parameters; those that were loaded stay as they are."""
        with guard_torch_init_functions():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=self.config.initializer_range)
            elif isinstance(module, RMSNorm):
                nn.init.ones_(module.weight)
            elif callable(reset := getattr(module, "reset_parameters", None)):
                reset()


class MemoryModel(MemoryPreTrainedModel):
    """Tokens to hidden states. A package's own model defines its mixers."""

    pattern: ClassVar[tuple[str, ...]] = ("memory",)  # the mixers of the blocks, repeated
    prefix = 0  # persistent tokens before every sequence
    side_by_side = False  # whether a mixer needs sequences as a batch

    def __init__(self, config: MemoryConfig) -> None:
        config.check()
        super().__init__(config)
        if config.vocab_size is not None:
            self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        kinds = [self.pattern[number % len(self.pattern)] for number in range(config.num_hidden_layers)]
        self.layers = nn.ModuleList(
            Block(self.mixer(kind, number), config.hidden_size, config.intermediate_size or 0) for number, kind in enumerate(kinds)
        )
        self.norm = RMSNorm(config.hidden_size)
        self.gradient_checkpointing = False
        self.post_init()

    def mixer(self, kind: str, number: int) -> nn.Module:
        """The mixer of block `number`."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: MemoryCache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        cu_seqlens: Tensor | None = None,
        past_key_values: MemoryCache | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> BaseModelOutputWithPast | tuple[Any, ...]:
        """Hidden states of `input_ids` [B, T], or of `inputs_embeds` [B, T, hidden].

        `attention_mask` [B, T], or [B, tokens of the cache + T], is 0 at padding, on any side: a row is as if it were alone. `cu_seqlens`
        int32 [N + 1] are the borders of sequences packed into one row. `cache` (`past_key_values` before transformers 5.24) comes from an
        earlier call, and is brought up to date. Raises ValueError, TypeError for arguments without a meaning.
        """
        refuse(others)
        output_hidden_states = wanted(output_hidden_states, self.config, "output_hidden_states")
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("input_ids: expected either input_ids or inputs_embeds")
        check_tokens("input_ids", input_ids)
        if input_ids is not None:
            check_vocabulary("input_ids", input_ids, self.embed_tokens)
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if x.dim() != 3 or 0 in x.shape[:2]:
            raise ValueError(f"input_ids: expected tokens of shape [B, T], got {list(x.shape[:-1])}")
        training = self.training and torch.is_grad_enabled()
        keep = (self.config.use_cache and not training) if use_cache is None else use_cache
        keep = keep and not (self.gradient_checkpointing and training)
        past = read_cache(cache, past_key_values, len(self.layers), self.config.digest)
        seen = 0 if past is None else past.get_seq_length()
        check_mask(attention_mask, seen, x)
        tokens = x.shape[1]
        stream: list[Tensor] | None = [] if output_hidden_states else None
        run = partial(self.through, cu_seqlens=cu_seqlens, fresh=not seen, keep=keep, stream=stream)
        steps = current_steps(self) if keep and seen and tokens == 1 and cu_seqlens is None and stream is None else None
        if steps is not None and past is not None:
            x, states = steps.step(run, past, x, attention_mask)
        else:
            x, states = run(x, attention_mask, past.states() if past is not None and seen else [None] * len(self.layers))
        if keep:
            past = MemoryCache(len(self.layers), self.config.digest) if past is None else past
            for layer, state in zip(past.layers, states, strict=True):
                layer.state, layer.tokens = state, seen + tokens
        hidden = None if stream is None else (*stream, x)
        output = BaseModelOutputWithPast(last_hidden_state=x, hidden_states=hidden, **{CACHE: past if keep else None})
        return output if wanted(return_dict, self.config, "return_dict") else output.to_tuple()

    def through(
        self,
        x: Tensor,
        attention_mask: Tensor | None,
        before: Sequence[Any],
        *,
        cu_seqlens: Tensor | None,
        fresh: bool,
        keep: bool,
        stream: list[Tensor] | None,
    ) -> tuple[Tensor, list[Any]]:
        """Hidden states [B, T, D] behind the blocks, and their states; `before` are those before, `stream` gains each block's input."""
        inside = Inside(x, attention_mask, cu_seqlens, self.prefix if fresh else 0)
        sequences = inside.sequences(fresh=fresh, side_by_side=self.side_by_side)
        if rows_of(before) not in (None, sequences.rows):
            raise ValueError(f"cache: it holds {rows_of(before)} sequences, got {sequences.rows}")
        x, states = inside.x, []
        for block, state in zip(self.layers, before, strict=True):
            if stream is not None:
                stream.append(inside.outside(x))
            x, state = block(x, state, sequences, keep)
            states.append(state)
        return inside.outside(self.norm(x)), states


class MemoryForCausalLM(MemoryPreTrainedModel, GenerationMixin):
    """Tokens to logits of the next token. A package's own model defines `body`."""

    body: ClassVar[type[MemoryModel]]
    records_steps = True  # whether `generate` records a step on a GPU, and replays it
    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__(config)
        self.model = self.body(config)
        self.vocab_size = self.model.embed_tokens.num_embeddings
        self.lm_head = nn.Linear(config.hidden_size, self.vocab_size, bias=False)
        self.post_init()

    def compile_blocks(self, **options: Any) -> None:
        """Compiles each block by itself, and the loss, whose logits then need no copy in float32."""
        super().compile_blocks(**options)
        own: Any = self
        own.plain_loss = getattr(own, "plain_loss", own.loss_function)  # the same when blocks are compiled anew
        own.loss_function = torch.compile(own.plain_loss, **options)

    def generate(self, *inputs: Any, **options: Any) -> Any:
        """As in transformers. On a GPU a step of one token is recorded as a CUDA graph, unless `records_steps` is False."""
        with decoding(self.model, self.records_steps):
            return super().generate(*inputs, **options)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: MemoryCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        cu_seqlens: Tensor | None = None,
        past_key_values: MemoryCache | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Logits [B, T, vocabulary], of the last `logits_to_keep` tokens (0: of all), or of those that a tensor names.

        `labels` [B, T] are the tokens themselves, −100 where nothing is to be predicted: the loss is of each token but the first of its
        sequence, and of none that is padding. The other arguments are those of the model inside.
        """
        items = others.pop("num_items_in_batch", None)
        outputs = self.model(
            input_ids, attention_mask, cache, inputs_embeds, use_cache, cu_seqlens, past_key_values, output_hidden_states, True, **others
        )
        x = outputs.last_hidden_state
        kept = x[:, -logits_to_keep:] if isinstance(logits_to_keep, int) else x[:, logits_to_keep]
        logits = projected(self.lm_head, kept)
        loss = None
        if labels is not None:
            if not isinstance(logits_to_keep, int) or logits_to_keep:
                raise ValueError("logits_to_keep: a loss needs the logits of all tokens")
            check_tokens("labels", labels, x.shape[:2])
            labels = predicted(labels, attention_mask, cu_seqlens)
            check_vocabulary("labels", labels[:, 1:], self.model.embed_tokens, IGNORED)
            loss = self.loss_function(logits, labels, self.vocab_size, **({} if items is None else {"num_items_in_batch": items}))
        own: dict[str, Any] = {CACHE: outputs.get(CACHE)}
        output = CausalLMOutputWithPast(loss=loss, logits=logits, hidden_states=outputs.hidden_states, **own)
        return output if wanted(return_dict, self.config, "return_dict") else output.to_tuple()


def projected(projection: nn.Linear, x: Tensor) -> Tensor:
    """x [B, T, D] through a projection; in float64 on the CPU a row has the same bits whatever rows are beside it."""
    rows = functional.pad(x.flatten(0, 1), (0, 0, 0, exact_rows(x)))
    y: Tensor = projection(rows)[: x.shape[:2].numel()].reshape(*x.shape[:2], -1)
    return y


def predicted(labels: Tensor, attention_mask: Tensor | None, cu_seqlens: Tensor | None) -> Tensor:
    """Labels without padding and without the first token of a sequence, before which nothing of it stands."""
    if attention_mask is not None:
        labels = labels.masked_fill(~shifted(attention_mask[:, -labels.shape[1] :].bool()), IGNORED)
    if cu_seqlens is not None:
        token = torch.arange(labels.shape[1], device=labels.device)
        labels = labels.masked_fill(torch.isin(token, cu_seqlens.to(token.dtype)) | (token >= cu_seqlens[-1]), IGNORED)
    return labels
