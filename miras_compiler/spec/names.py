"""Types of values in a spec: names, which become a Python package and keyword arguments, lines of text, and counts."""

from __future__ import annotations

import keyword
import re
import sys
from typing import Annotated

from pydantic import AfterValidator, Field

from miras_compiler.elements.base import refused
from miras_compiler.errors import short
from miras_compiler.expressions.vocabulary import NAMES_OF_FUNCTIONS

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
PACKAGES = frozenset(sys.stdlib_module_names) | {"miras_compiler", "numpy", "tests", "torch", "transformers", "triton"}
ARGUMENTS = frozenset(
    "q k v o u w x t e y a initial_state final_state output_final_state cu_seqlens backend tile position feature_coefficients zeta".split()
)
RESERVED = re.compile(r"(log|ln|window|erase|dim)_.*|.*_features|length|x\d+|.*_")  # state, features, lengths, code


def _identifier(name: str, role: str, instead: str) -> str:
    if not IDENTIFIER.fullmatch(name):
        raise refused(
            f"{role} '{short(name)}' is not an identifier",
            "it becomes a Python name",
            "use up to 64 letters a-z, digits and _, a letter first",
        )
    if keyword.iskeyword(name):
        raise refused(f"{role} '{name}' is a keyword of Python", "it becomes a Python name", f"for example '{name}_{instead}'")
    return name


def _spec_name(name: str) -> str:
    """An identifier that shadows no module: the generated package is imported under this name."""
    if _identifier(name, "the name", "memory") in PACKAGES:
        raise refused(
            f"the name '{name}' is taken by a Python module", "the generated package would hide it", f"for example '{name}_memory'"
        )
    return name


def _gate_name(name: str) -> str:
    """An identifier that no argument of the operators and no function of the grammar has."""
    _identifier(name, "the gate's name", "gate")
    if name in ARGUMENTS | NAMES_OF_FUNCTIONS or RESERVED.fullmatch(name):
        raise refused(f"the gate's name '{name}' has a meaning of its own", "operators or formulas use it", f"for example '{name}_gate'")
    return name


def _one_line(text: str) -> str:
    if not all(character.isprintable() for character in text):
        raise refused("text with line breaks or control characters", "it stands in one line of the generated files", "write it in one line")
    return text


SpecName = Annotated[str, AfterValidator(_spec_name), Field(json_schema_extra={"pattern": f"^{IDENTIFIER.pattern}$"})]
GateName = Annotated[str, AfterValidator(_gate_name)]
Line = Annotated[str, Field(max_length=2000), AfterValidator(_one_line)]
Count = Annotated[int, Field(ge=1, le=2**20)]
