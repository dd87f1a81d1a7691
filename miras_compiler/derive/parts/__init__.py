"""The parts that a rule is stated in, each with the entries of the state that it needs, and how a spec says it."""

from __future__ import annotations

from miras_compiler.derive.parts.chunk import ChunkRule, chunk_of
from miras_compiler.derive.parts.entry import Entry
from miras_compiler.derive.parts.frame import Frame, frame_of
from miras_compiler.derive.parts.gates import Recurrence, RuleGate, gates_of, recurrences_of
from miras_compiler.derive.parts.memory import Entrywise, Features, MemoryMap, Product, Weight, features_of, memory_of
from miras_compiler.derive.parts.mirror import MirrorMap, mirror_of
from miras_compiler.derive.parts.surprise import Surprise, surprise_of
from miras_compiler.derive.parts.update import Orthogonal, Update, update_of

__all__ = [
    "ChunkRule", "Entry", "Entrywise", "Features", "Frame", "MemoryMap", "MirrorMap", "Orthogonal", "Product", "Recurrence", "RuleGate",
    "Surprise", "Update", "Weight", "chunk_of", "features_of", "frame_of", "gates_of", "memory_of", "mirror_of", "recurrences_of",
    "surprise_of", "update_of",
]  # fmt: skip
