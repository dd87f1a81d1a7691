"""Specs, packages and runs beside each other: the table of `miras compare`, and its page."""

from __future__ import annotations

from miras_compiler.compare.page import page
from miras_compiler.compare.subjects import Compared, Unread, read_subjects
from miras_compiler.compare.summary import summary

__all__ = ["Compared", "Unread", "page", "read_subjects", "summary"]
