"""A loss that is no number: where it began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from miras_compiler.errors import CheckFailed
from miras_compiler.runs import RunFolder

REMEDY = "train it again with a smaller --lr, or gates that start smaller (`miras explain` says how stable the memory is)"


def check_finite(run: RunFolder, model: nn.Module, inputs: Mapping[str, Any], losses: Sequence[Tensor], step: int, parts: int) -> None:
    """Raises CheckFailed if a loss or a gradient is not a number; called before the step changes a weight.

    `losses` are those of the last steps up to `step`, `parts` a step.
    """
    values = torch.stack([loss.float() for loss in losses])
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        first = step - (len(losses) - 1 - int(bad[0])) // parts
        raise CheckFailed(f"step {first}: the loss is {float(values[bad[0]])}; {_origin(model, inputs)}; {_left(run)}")
    gradients = {name: local(p.grad) for name, p in model.named_parameters() if p.grad is not None}
    sums = torch.stack([gradient.float().abs().sum() for gradient in gradients.values()]).isfinite().tolist()
    wrong = [name for name, finite in zip(gradients, sums, strict=True) if not finite]
    if wrong:
        raise CheckFailed(
            f"step {step}: the loss is {float(values[-1]):g}, but the gradient of {_named(wrong)} is not a number; {_left(run)}"
        )


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _origin(model: nn.Module, inputs: Mapping[str, Any]) -> str:
    """The source of the first value that is no number."""
    weights = [name for name, p in model.named_parameters() if not bool(local(p.detach()).isfinite().all())]
    if weights:
        return f"the weights are not numbers any more: {_named(weights)}"
    if torch.distributed.is_initialized():
        return "every weight is a number still"
    found: list[str] = []

    def look(name: str, output: Any) -> None:
        parts = output if isinstance(output, tuple) else (output,)
        if not found and not all(bool(part.isfinite().all()) for part in parts if isinstance(part, Tensor)):
            found.append(name)

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: look(name, output))
        for name, module in model.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            model(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return f"the first output that is not a number is that of {found[0]}" if found else "the output of every module is a number"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _left(run: RunFolder) -> str:
    whole = run.checkpoints()
    kept = f"the last good checkpoint is {whole[-1]}" if whole else "there was no checkpoint yet"
    return f"{kept}; {REMEDY}"
