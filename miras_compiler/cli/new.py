"""`miras new`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

NAME = re.compile(r"""^(?P<key>[{]?\s*["']?name["']?\s*:\s*)(["']?)\w+\2""", re.MULTILINE)
TEMPLATE = """\
# A memory that learns while it reads: at every token the memory is asked for the value of the key, the attentional bias measures how
# far off it was, and a step against the gradient (the surprise) corrects it.  `miras list` shows all kinds with their formulas,
# `miras explain` the rule that follows from a spec, `miras check` what is wrong with it.
name: {name}
paper: ""  # what it implements, for the headers of the generated files

# What the memory is.  Now: {memory}
memory: {{kind: matrix}}

# What is applied to keys and queries first.  Now: {feature_map}
feature_map: {{kind: identity}}

# How far the memory's answer is from the value.  Now: {attentional_bias}
attentional_bias: {{kind: l2, scale: 1}}

# What is kept of the past.  order: is the surprise measured before or after the decay?  Now: {retention}
retention: {{kind: l2, order: after_gradient}}

# How the surprise becomes an update.  Now: {optimizer}
optimizer: {{kind: gradient_descent}}

# The coefficients of the rule, one per token and head.  source: input | learned | constant.  parametrization: sigmoid | softplus | ...
gates:
  alpha: {{per: head, source: input, init: 0.999}}  # what is retained, in [0, 1]
  eta: {{per: head, source: input, init: 0.02}}  # inner step size; `parametrization: sigmoid` keeps it below 1, where this rule is stable

# gradient: exact (at the state before each token) | chunk_start (at the state that enters a chunk of `size`; deep memories need it
# to run in parallel, and it changes the function)
chunk: {{size: 64, gradient: exact, read: after_write}}

# The layer around the memory.
layer: {{heads: 16, head_dim: 64}}

# The language model around the layer.  preset: 170m | 340m | 760m | 1.3b, or hidden_size and layers.  pattern: the mixers of the
# blocks, repeated: memory | attention | window.  wiring: lmm | mac | mag | mal (Titans, section 4)
model: {{pattern: [memory], wiring: lmm}}

# Where the spec follows a paper and where it does not.  status: faithful | deviation | novel
ledger: []
"""


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model's name, a Python identifier.", show_default=False)],
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The folder that the spec is written to.")] = Path(
        "specs"
    ),
    base: Annotated[
        str | None,
        typer.Option("--from", metavar="SPEC", help="A spec to start from: a file, or a name of `miras list specs`.", show_default=False),
    ] = None,
) -> None:
    """Write a commented spec to start from, or a copy of another one under a new name, as NAME.yaml."""
    from pydantic import TypeAdapter, ValidationError

    from miras_compiler.errors import InputError
    from miras_compiler.spec import parse_spec
    from miras_compiler.spec.names import SpecName
    from miras_compiler.store import write_new_file

    try:
        TypeAdapter(SpecName).validate_python(name)
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"]) from None
    text = renamed(base, name) if base else commented(name)
    if parse_spec(text, f"{name}.yaml").name != name:
        raise InputError(f"{base}: its key `name` does not begin a line; copy the file, and change the name by hand")
    print(f"wrote {write_new_file(folder / f'{name}.yaml', text)}")


def commented(name: str) -> str:
    """A spec with every key at its default, and its meaning."""
    from miras_compiler.elements.kinds import KINDS

    return TEMPLATE.format(name=name, **{axis: ", ".join(kinds) for axis, kinds in KINDS.items()})


def renamed(base: str, name: str) -> str:
    """The text of a spec under another name, and otherwise as it is written, comments included."""
    from miras_compiler.spec import load_spec
    from miras_compiler.spec.shipped import find_spec

    load_spec(base)
    text = find_spec(base).path.read_text(encoding="utf-8-sig")
    return NAME.sub(lambda found: f"{found['key']}{name}", text, count=1)
