"""English text that is on every machine: the language reference that Python's own `help()` prints."""

from __future__ import annotations

import importlib
import re

CONTEXT = 4  # bytes that a key is made of
TOPICS = ("objects", "naming")  # of the passage that is read again and again, of the fresh one
ORNAMENT = re.compile(r"[*=~^\-+.`]{4,}")  # underlined headings


def load_passages(length: int) -> tuple[bytes, bytes]:
    """Two passages of different topics, each CONTEXT + `length` bytes of UTF-8 from the beginning of its topic."""
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    first, fresh = (plain_text(topics[name]).encode()[: CONTEXT + length] for name in TOPICS)
    return first, fresh


def plain_text(topic: str) -> str:
    """The text without underlines, with single blanks."""
    return " ".join(ORNAMENT.sub(" ", topic).split())
