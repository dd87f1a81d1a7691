"""configuration_<name>.py: the fields of the model's configuration, with the sizes of the spec as defaults."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.model.sizes import sizes_of
from miras_compiler.emit.printing.python_text import header
from miras_compiler.emit.printing.template import fill
from miras_compiler.spec.exports import class_stem


def emit_configuration(rule: Rule, interface: Interface, texts: Mapping[str, str]) -> str:
    """Text of configuration_<name>.py; `texts` are the package's other files, whose Python has a digest here."""
    frame, sizes = rule.frame, sizes_of(rule, interface)
    model = frame.model
    fields = [
        ("digest: str", f'"{frame.digest}"'),
        ("vocab_size: int | None", str(sizes.vocab_size or None)),
        ("hidden_size: int", str(sizes.hidden_size)),
        ("num_hidden_layers: int", str(sizes.layers)),
        ("num_heads: int", str(sizes.heads)),
        ("head_dim: int", str(sizes.head_dim)),
        ("tie_word_embeddings: bool", str(model.tie_embeddings)),
    ]
    if model.input is not None:
        fields += [(f"{name}: int", str(getattr(model.input, name))) for name in ("channels", "patch", "horizon")]
    if frame.layer.groups > 1:
        fields.append(("num_value_heads: int | None", f"None  # {frame.layer.groups} · num_heads"))
    if sizes.value_dim != sizes.head_dim:
        fields.append(("value_dim: int", str(sizes.value_dim)))
    if sizes.intermediate_size:
        fields.append(("mlp_ratio: float", repr(sizes.intermediate_size / sizes.hidden_size)))
    else:
        fields.append(("intermediate_size: int", "0"))
    if model.has_attention:
        fields += [("num_attention_heads: int", str(sizes.attention_heads)), ("rope_theta: float", repr(model.attention.rope))]
    if "window" in model.pattern or model.wiring in ("mag", "mal"):
        fields.append(("window: int", str(model.attention.window)))
    if model.segment is not None:
        fields.append(("segment: int", str(model.segment)))
    if model.persistent is not None:
        fields.append(("persistent: int", str(model.persistent)))
    return fill("configuration.py", {
        "header": header(frame),
        "name": frame.name,
        "model": class_stem(frame),
        "code": code_digest(texts),
        "fields": [f"{name} = {value}" for name, value in fields],
    })  # fmt: skip


def code_digest(texts: Mapping[str, str]) -> str:
    """Twelve hexadecimal digits of all Python files.

    transformers tells the code of two folders apart by the text of this file alone.
    """
    code = "".join(f"{name}\n{texts[name]}" for name in sorted(texts) if name.endswith(".py"))
    return hashlib.sha256(code.encode()).hexdigest()[:12]
