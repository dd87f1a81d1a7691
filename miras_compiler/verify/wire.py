"""Messages between verification and the process in which a package runs: JSON, with tensors as bytes behind it.

Nothing that arrives is executed, as a pickle would be: whatever a package writes into the pipe, it can only be read or refused.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

LENGTH = 8  # bytes that say how long the JSON is
PIECE = 1 << 20
MARK = "\0tensor"  # the only key of the object that stands for a tensor
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.bool, torch.uint8)
}


class Closed(Exception):
    """The other end of the pipe is gone."""


class TooLate(Exception):
    """Nothing came in time."""


def map_tensors(tree: Any, function: Callable[[Tensor], Any]) -> Any:
    """The same lists and dictionaries with `function` of every tensor; TypeError for a value that no message can hold."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {str(key): map_tensors(value, function) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return [map_tensors(value, function) for value in tree]
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise TypeError(f"expected tensors, numbers, texts, lists and dictionaries of them, got {type(tree).__name__}")


def fill_tensors(tree: Any, tensors: Any) -> Any:
    """The other way: numbered places become the tensors of these numbers."""
    if isinstance(tree, dict):
        return tensors[tree[MARK]] if tree.keys() == {MARK} else {key: fill_tensors(value, tensors) for key, value in tree.items()}
    if isinstance(tree, list):
        return [fill_tensors(value, tensors) for value in tree]
    return tree


def numbered(tree: Any) -> tuple[Any, list[Tensor]]:
    """The tree with places for its tensors, and the tensors."""
    tensors: list[Tensor] = []

    def place(tensor: Tensor) -> dict[str, int]:
        tensors.append(tensor)
        return {MARK: len(tensors) - 1}

    return map_tensors(tree, place), tensors


def send(pipe: int, tree: Any) -> None:
    """Writes a message; Closed if nobody reads it."""
    body, tensors = numbered(tree)
    flat = [tensor.detach().cpu().contiguous() for tensor in tensors]
    described = [[str(tensor.dtype).removeprefix("torch."), list(tensor.shape), tensor.requires_grad] for tensor in tensors]
    head = json.dumps({"body": body, "tensors": described}).encode()
    parts = [len(head).to_bytes(LENGTH, "big"), head]
    parts += [tensor.reshape(-1).view(torch.uint8).numpy().tobytes() for tensor in flat if tensor.numel()]
    waiting = memoryview(b"".join(parts))
    try:
        while waiting:
            waiting = waiting[os.write(pipe, waiting[:PIECE]) :]
    except OSError as problem:
        raise Closed(str(problem)) from problem


def receive(pipe: int, seconds: float | None = None) -> Any:
    """Reads a message; Closed at the end of the pipe, TooLate when it has not come whole in so many seconds."""
    end = None if seconds is None else time.monotonic() + seconds
    head = json.loads(_read(pipe, int.from_bytes(_read(pipe, LENGTH, end), "big"), end))
    tensors = []
    for name, shape, tracked in head["tensors"]:
        dtype = DTYPES[name]
        entries = torch.Size(shape).numel()
        data = _read(pipe, entries * dtype.itemsize, end)
        tensor = torch.frombuffer(data, dtype=torch.uint8).view(dtype).reshape(shape) if entries else torch.empty(shape, dtype=dtype)
        tensors.append(tensor.requires_grad_(tracked))
    return fill_tensors(head["body"], tensors)


def _read(pipe: int, length: int, end: float | None) -> bytearray:
    data = bytearray()
    while len(data) < length:
        if end is not None and not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TooLate
        piece = os.read(pipe, min(PIECE, length - len(data)))
        if not piece:
            raise Closed
        data += piece
    return data
