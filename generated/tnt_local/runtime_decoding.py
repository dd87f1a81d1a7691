"""Steps of decoding on a GPU: one is recorded as a CUDA graph, then replayed, so that no kernel waits for Python.

A step takes one token of every sequence from its state to the next; everything it reads is in tensors of the same shapes. Its states then
live in the tensors of the recording, and the cache that goes on holds these.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils import _pytree as pytree

from .runtime_layer import TokenMixer
from .runtime_model_cache import MemoryCache

LAUNCHED = 8  # steps of the same shapes before one is recorded: a short generation is over by then

Run = Callable[[Tensor, Tensor | None, list[Any]], tuple[Tensor, list[Any]]]
"""Hidden states and states of the blocks behind a step; it takes embeddings [B, 1, D], a mask [B, 1], and the states before."""


class CudaRecording:
    """The kernels that `run` launches, to be launched again at once; its `result` stays in its place."""

    def __init__(self, run: Callable[[], Tensor], device: torch.device) -> None:
        self.graph = torch.cuda.CUDAGraph()
        stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.device(device), torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self.result = run()

    def replay(self) -> None:
        self.graph.replay()


class DecodingSteps:
    """The steps of one generation by the model `body`: launched until their shapes have been the same for a while, then replayed."""

    def __init__(self, body: nn.Module, record: Callable[[Callable[[], Tensor], torch.device], Any] = CudaRecording) -> None:
        self.body, self.record, self.can_record = body, record, True
        self.shapes: object = None
        self.launched = 0
        self.recording: Any = None
        self.owner: MemoryCache | None = None  # the cache that holds the states of the recording
        self.inputs: tuple[Tensor, Tensor | None]
        self.leaves: list[Tensor]
        self.states: list[Any] = []

    def step(self, run: Run, cache: MemoryCache, x: Tensor, mask: Tensor | None) -> tuple[Tensor, list[Any]]:
        """Hidden states [B, 1, D] and states behind the tokens x [B, 1, D]; of `mask` [B, ≥ 1] the last column counts."""
        states, mask = cache.states(), None if mask is None else mask[:, -1:]
        if not (self.recording and cache is self.owner and same(states, self.states) and fits(self.inputs, (x, mask))):
            leaves, tree = pytree.tree_flatten(states)
            shapes = (tree, shapes_of(leaves), shapes_of([x, mask]))
            if shapes != self.shapes:
                self.forget()
                self.shapes = shapes
            self.launched += 1
            if self.launched <= LAUNCHED or not self.can_record or not all(isinstance(leaf, Tensor) for leaf in leaves):
                return run(x, mask, states)
            self.take_over(cache)
            if self.recording is None and not self.made(run, x, mask, leaves, tree):
                return run(x, mask, states)
            torch._foreach_copy_(self.leaves, leaves)
        for own, given in zip(self.inputs, (x, mask), strict=True):
            if own is not None and given is not None:
                own.copy_(given)
        self.recording.replay()
        return self.recording.result.clone(), self.states

    def made(self, run: Run, x: Tensor, mask: Tensor | None, leaves: Sequence[Tensor], tree: Any) -> bool:
        """Records a step, in tensors of its own; False where it cannot be recorded: a step that waits for the GPU, for example."""
        self.inputs = (x.clone(), None if mask is None else mask.clone())
        self.leaves = [leaf.clone() for leaf in leaves]
        self.states = pytree.tree_unflatten(self.leaves, tree)
        own = {leaf.untyped_storage().data_ptr() for leaf in self.leaves}

        def once() -> Tensor:
            hidden, behind = run(*self.inputs, self.states)
            found = pytree.tree_leaves(behind)
            torch._foreach_copy_(self.leaves, [x.clone() if x.untyped_storage().data_ptr() in own else x for x in found])
            return hidden

        try:
            self.recording = self.record(once, x.device)
        except RuntimeError as problem:
            self.can_record = False
            told = str(problem).partition("\n")[0]
            warnings.warn(f"a step of decoding cannot be recorded, and its kernels are launched one by one: {told}", stacklevel=2)
        return self.recording is not None

    def take_over(self, cache: MemoryCache) -> None:
        """Makes `cache` the one that holds the states of the recording: another that does gets copies."""
        if self.owner is not None and self.owner is not cache:
            for layer, state in zip(self.owner.layers, self.states, strict=True):
                if layer.state is state:
                    layer.change(Tensor.clone)
        self.owner = cache

    def forget(self) -> None:
        """Back to launches. The states of the recording stay with the cache that holds them."""
        self.recording, self.owner, self.launched, self.states = None, None, 0, []


def shapes_of(tensors: Sequence[Tensor | None]) -> list[object]:
    return [None if x is None else (x.shape, x.dtype) for x in tensors]


def fits(own: Sequence[Tensor | None], given: Sequence[Tensor | None]) -> bool:
    return shapes_of(own) == shapes_of(given)


def same(states: Sequence[Any], others: Sequence[Any]) -> bool:
    """True if they are the very same objects."""
    return len(states) == len(others) and all(state is other for state, other in zip(states, others, strict=True))


_current: ContextVar[DecodingSteps | None] = ContextVar("steps", default=None)


@contextmanager
def decoding(body: nn.Module, wanted: bool) -> Iterator[None]:
    """Within, steps of `body` are recorded where that is wanted and possible."""
    token = _current.set(DecodingSteps(body) if wanted and is_recordable(body) else None)
    try:
        yield
    finally:
        _current.reset(token)


def current_steps(body: nn.Module) -> DecodingSteps | None:
    """The steps of the generation that is going on, if they are recorded and a step may be one of them."""
    if torch.compiler.is_compiling():
        return None
    steps = _current.get()
    if steps is None or steps.body is not body or torch.is_grad_enabled() or torch.is_autocast_enabled("cuda"):
        return None
    return steps


def is_recordable(body: nn.Module) -> bool:
    """True on a GPU, for blocks of memories alone, which keep all that they know of the past in tensors, without hooks, which would be
    called once."""
    mixers = [block.mixer for block in body.layers]  # type: ignore[union-attr]
    hooked = torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks or any(map(has_hooks, body.modules()))
    return next(body.parameters()).is_cuda and all(isinstance(mixer, TokenMixer) for mixer in mixers) and not hooked


def has_hooks(module: nn.Module) -> bool:
    """True for hooks of torch, and for those of accelerate, which move a module's inputs between devices."""
    return bool(module._forward_hooks or module._forward_pre_hooks or hasattr(module, "_hf_hook"))
