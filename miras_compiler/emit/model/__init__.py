"""configuration_<name>.py and modeling_<name>.py: the memory as a Hugging Face model."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.emit.backend import Derived
from miras_compiler.emit.model.configuration import emit_configuration
from miras_compiler.emit.model.count import count_layer, count_model
from miras_compiler.emit.model.files import with_files
from miras_compiler.emit.model.modeling import emit_modeling
from miras_compiler.emit.model.sizes import ModelSizes, sizes_of

__all__ = ["ModelSizes", "count_layer", "count_model", "emit_configured", "emit_model", "sizes_of"]


def emit_model(given: Derived) -> dict[str, str]:
    """modeling_<name>.py."""
    return {f"modeling_{given.frame.name}.py": emit_modeling(given.frame)}


def emit_configured(given: Derived, texts: Mapping[str, str]) -> dict[str, str]:
    """configuration_<name>.py with the digest of all other files, `texts`; in it and in the model's file, the files that each needs."""
    configuration, modeling = f"configuration_{given.frame.name}.py", f"modeling_{given.frame.name}.py"
    known = {**texts, configuration: emit_configuration(given.rule, given.interface, texts)}
    return {name: with_files(name, known) for name in (configuration, modeling)}
