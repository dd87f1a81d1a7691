"""configuration_<name>.py and modeling_<name>.py: the memory as a Hugging Face model."""

from __future__ import annotations

from miras_compiler.emit.model.configuration import emit_configuration
from miras_compiler.emit.model.count import count_layer, count_model
from miras_compiler.emit.model.files import with_files
from miras_compiler.emit.model.modeling import emit_modeling
from miras_compiler.emit.model.names import model_exports
from miras_compiler.emit.model.sizes import Sizes, sizes_of

__all__ = ["Sizes", "count_layer", "count_model", "emit_configuration", "emit_modeling", "model_exports", "sizes_of", "with_files"]
