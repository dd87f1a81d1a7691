"""The imports of layer.py: the names that its text uses, from the modules that have them."""

from __future__ import annotations

import re

from miras_compiler.derive.parts import Frame
from miras_compiler.emit.printing.python_text import import_line

NAMES = {
    ".runtime_convolution": ("ShortConvolution", "lagged"),
    ".runtime_gates": (
        "ConstantGate", "DecayRate", "InputGate", "LearnedGate", "LowRankGate", "fill", "inverse_softplus", "inverse_tanh", "logarithms",
        "logit",
    ),
    ".runtime_idle": ("idle",),
    ".runtime_norms": ("layer_norm", "rms_norm", "wide"),
    ".runtime_rows": ("repeat_heads", "split_heads", "unit", "with_zeros"),
    ".runtime_widths": ("check_heads", "check_one_width", "check_widths", "count_value_heads"),
}  # fmt: skip


def imports(frame: Frame, body: str) -> str:
    """The import statements above the class whose methods are `body`, in the order of the linter."""
    own: dict[str, tuple[str, ...]] = {
        ".ops": (f"chunk_{frame.name}", f"fused_recurrent_{frame.name}"),
        ".runtime_cache": ("LayerCache",),
        ".runtime_layer": ("TokenMixer",),
    }
    if "CONTRACT." in body:
        own[".contract"] = ("CONTRACT",)
    for module, names in NAMES.items():
        if used := tuple(name for name in names if re.search(rf"(?<![.\w]){name}\(", body)):
            own[module] = used
    library = [line for name, line in (("math", "import math\n"), ("torch", "import torch")) if re.search(rf"(?<![.\w]){name}\.", body)]
    library.append("from torch import Tensor, nn")
    if re.search(r"(?<![.\w])functional\.", body):
        library.append("from torch.nn import functional")
    return "\n".join([*library, "", *(import_line(module, own[module]) for module in sorted(own))])
