"""modeling_<name>.py: the blocks of the model."""

from __future__ import annotations

import textwrap

from miras_compiler.derive.parts import Frame
from miras_compiler.emit.printing.python_text import bracketed, header, import_line, quoted
from miras_compiler.emit.printing.template import fill
from miras_compiler.spec.exports import class_stem, layer_class, task_name

WIRINGS = {"mac": "MemoryAsContext", "mag": "MemoryAsGate", "mal": "MemoryAsLayer"}
WORDS = {
    "ForCausalLM": ("Tokens to hidden states.", "Tokens to logits of the next token.", "with `generate`"),
    "ForForecasting": ("Embedded patches to hidden states.", "Values to forecasts of those that follow.", "of values"),
}
WIDTHS = ("heads=config.num_heads", "value_heads=config.num_value_heads", "head_dim=config.head_dim", "value_dim=config.value_dim")
ATTENTION = "CausalAttention(config.hidden_size, config.num_attention_heads, config.rope_theta, {})"


def emit_modeling(frame: Frame) -> str:
    """Text of modeling_<name>.py."""
    model = frame.model
    name, wiring = class_stem(frame), model.wiring
    imports = {f".configuration_{frame.name}": [f"{name}Config"], ".runtime_transformers": ["register"]}
    if model.input is None:
        imports[".runtime_modeling"] = ["MemoryForCausalLM", "MemoryModel"]
    else:
        imports |= {".runtime_modeling": ["MemoryModel"], ".runtime_forecasting": ["MemoryForForecasting"]}
    if "memory" in model.pattern:
        imports[".layer"] = [layer_class(frame)]
    if wiring in WIRINGS:
        imports[".runtime_wirings"] = [WIRINGS[wiring]]
    if model.has_attention:
        imports[".runtime_attention"] = ["CausalAttention"]
    facts = []
    if model.pattern != ("memory",):
        facts.append(f"pattern = {quoted(model.pattern)}")
    if model.has_attention:
        facts.append("side_by_side = True")
    return fill("modeling.py", {
        "header": header(frame),
        "name": frame.name,
        "model": name,
        "task": task_name(frame),
        "task_words": WORDS[task_name(frame)],
        "imports": "\n".join(import_line(module, imports[module]) for module in sorted(imports)),
        "facts": facts,
        "has_prefix": wiring in ("mag", "mal") and bool(model.persistent),
        "mixer": textwrap.indent("\n".join(mixer_lines(frame)), " " * 8),
    })  # fmt: skip


def mixer_lines(frame: Frame) -> list[str]:
    """The body of `mixer`: the module of every kind of the pattern, and an error for others."""
    model, lines = frame.model, []
    if "window" in model.pattern:
        lines += ['if kind == "window":', f"    return {ATTENTION.format('config.window')}"]
    if "attention" in model.pattern:
        lines += ['if kind == "attention":', f"    return {ATTENTION.format('None')}"]
    if "memory" in model.pattern:
        lines += memory_lines(frame)
    else:
        lines += ["raise ValueError(kind)"]
    return lines


def memory_lines(frame: Frame) -> list[str]:
    widths = [
        "config.hidden_size",
        *(width for width in WIDTHS if frame.layer.groups > 1 or "value_heads" not in width),
        "layer_idx=number",
    ]
    if frame.model.wiring == "lmm":
        return [bracketed(f"return {layer_class(frame)}(", widths, ")", 8)]
    lines = [bracketed(f"memory = {layer_class(frame)}(", widths, ")", 8)]
    window, options = (
        ("None", "config.segment, config.persistent") if frame.model.wiring == "mac" else ("config.window", "config.persistent")
    )
    prefix = ", config.persistent" if frame.model.wiring == "mag" else ""
    lines.append(f"attention = {ATTENTION.format(window).removesuffix(')')}{prefix})")
    return [*lines, f"return {WIRINGS[frame.model.wiring]}(memory, attention, config.hidden_size, {options})"]
