"""__init__.py of a package: its operators, its layer, and its models, which are imported when they are asked for."""

from __future__ import annotations

import textwrap

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.printing.python_text import bracketed, header, import_line
from miras_compiler.emit.printing.template import fill
from miras_compiler.spec.exports import layer_class, model_exports, operator_names


def emit_init(rule: Rule) -> str:
    """Text of __init__.py."""
    frame = rule.frame
    operators = operator_names(frame)
    models = model_exports(frame)
    modules = sorted(set(models.values()))
    imported = [import_line(f".{module}", [name for name in models if models[name] == module]) for module in modules]
    exports = sorted((layer_class(frame), *models)) + operators
    return fill("init.py", {
        "header": header(frame),
        "summary": summary(rule),
        "layer": layer_class(frame),
        "import_operators": import_line(".ops", operators),
        "import_models": textwrap.indent("\n".join(imported), "    "),
        "models": bracketed("{", [f'"{name}": "{module}"' for name, module in models.items()], "}", 10),
        "exports": bracketed("__all__ = [", [f'"{name}"' for name in exports], "]", 0),
    })  # fmt: skip


def summary(rule: Rule) -> str:
    """One line: the function of the package."""
    kinds = rule.kinds
    parts = (f"{kinds['memory']} memory", f"{kinds['attentional_bias']} bias", f"{kinds['retention']} retention", kinds["optimizer"])
    return f"{rule.frame.name}: {', '.join(parts)}."
