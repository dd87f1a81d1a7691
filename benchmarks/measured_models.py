"""The language models that models.py measures: packages of this compiler, and fla's Gated DeltaNet with the same sizes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miras_compiler import compile_spec
from miras_compiler.bench.fla import lift_guard
from miras_compiler.cli.specs import load_one
from miras_compiler.models import model_classes
from miras_compiler.spec import digest

FLA = "fla"
SIZES_OF = "gated_delta_net"  # the spec whose sizes fla's model has


@dataclass(frozen=True)
class Setting:
    """The sizes and options of one command."""

    preset: str
    settings: tuple[str, ...]
    batch: int
    length: int
    tokens: int  # of a prompt
    new: int
    steps: int
    compile: str
    recorded: bool
    device: torch.device

    def name(self, model: str) -> str:
        """The model, and how it is run."""
        kinds = ["" if self.compile == "none" else f"compiled {self.compile}", "" if self.recorded else "every kernel launched"]
        return " ".join(filter(None, [model, f"({', '.join(filter(None, kinds))})" if any(kinds) else ""]))


@dataclass(frozen=True)
class Subject:
    """A model on the device, with the digest of its spec, and the module that its operator's kernels lie in or below."""

    model: Any
    digest: str
    operators: str

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @torch.no_grad()
    def facts(self) -> dict[str, Any]:
        """The numbers of parameters, and of a sequence's state behind 8 tokens."""
        training = self.model.training
        self.model.eval()
        with torch.autocast(self.model.device.type, torch.bfloat16):
            cache = cache_of(self.model(torch.zeros(1, 8, dtype=torch.int64, device=self.model.device), use_cache=True))
        self.model.train(training)
        return {
            "parameters": self.parameters,
            "state_parameters": sum(x.numel() for x in tensors_in([each.state for each in cache.layers])),
        }


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """The tensors of a cache, whatever it is made of."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from tensors_in(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from tensors_in(value)


def cache_of(output: Any) -> Any:
    """The cache in an output, under whichever name it has."""
    return output.get("past_key_values") if output.get("cache") is None else output.get("cache")


def open_model(name: str, setting: Setting, training: bool) -> Subject:
    """A model, drawn from one seed: float32 for training, bfloat16 for decoding."""
    spec = load_one(Path(SIZES_OF if name == FLA else name), [f"model.preset={setting.preset}", *setting.settings])
    package = compile_spec(spec).write(tempfile.mkdtemp(prefix="miras-models-"))
    make_config, make_model = model_classes(package)
    config = make_config()
    torch.manual_seed(0)
    with torch.device(setting.device):
        model = fla_model(config) if name == FLA else make_model(config)
    model = model.train() if training else model.to(torch.bfloat16).eval()
    if name != FLA:
        model.records_steps = setting.recorded
    return Subject(model, digest(spec), "fla.ops" if name == FLA else make_model.__module__.rpartition(".")[0])


def fla_model(config: Any) -> Any:
    """Gated DeltaNet of flash-linear-attention with the sizes of a configuration of ours."""
    from fla.models.gated_deltanet import GatedDeltaNetConfig, GatedDeltaNetForCausalLM

    lift_guard()
    sizes = {
        "vocab_size": config.vocab_size, "hidden_size": config.hidden_size, "num_hidden_layers": config.num_hidden_layers,
        "num_heads": config.num_heads, "head_dim": config.head_dim, "expand_v": 1.0, "intermediate_size": config.intermediate_size,
        "tie_word_embeddings": config.tie_word_embeddings,
    }  # fmt: skip
    return GatedDeltaNetForCausalLM(GatedDeltaNetConfig(**sizes, bos_token_id=None, eos_token_id=None))


def compile_model(model: Any, how: str) -> None:
    """Compiles nothing, the blocks and the loss, or all."""
    if how == "blocks":
        model.compile_blocks()
    elif how == "whole":
        model.compile()


def jit_functions(module: str) -> frozenset[str]:
    """The names of the Triton kernels in a module and those below it that are imported."""
    found = [own for name, own in sys.modules.items() if name == module or name.startswith(f"{module}.")]
    values = [value for own in found for value in vars(own).values()]
    names = set()
    for value in values:
        while type(value).__name__ != "JITFunction" and type(value).__module__.startswith(("triton", "fla")) and hasattr(value, "fn"):
            value = value.fn  # inside a tuner
        if type(value).__name__ == "JITFunction":
            names.add(value.fn.__name__)
    return frozenset(names)


def random_tokens(subject: Subject, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, subject.model.config.vocab_size, shape, generator=generator).to(subject.model.device)
