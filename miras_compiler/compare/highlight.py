"""Colours for the lines of a file: HTML in which comments, texts, numbers, keywords and names are marked."""

from __future__ import annotations

import functools
import html
import keyword
import re
from collections.abc import Iterator
from itertools import groupby

from pygments.lexer import Lexer
from pygments.lexers.data import JsonLexer, YamlLexer
from pygments.lexers.graphviz import GraphvizLexer
from pygments.lexers.markup import MarkdownLexer
from pygments.lexers.special import TextLexer
from pygments.token import Comment, Keyword, Name, Number, String, _TokenType

LEXERS: dict[str, type[Lexer]] = {"json": JsonLexer, "yaml": YamlLexer, "dot": GraphvizLexer, "md": MarkdownLexer}
CLASSES = ((Comment, "c"), (String, "s"), (Number, "n"), (Keyword, "k"), (Name.Function, "f"), (Name.Class, "f"), (Name.Decorator, "f"))
PYTHON = re.compile(
    rf"""
    (?P<c>\#[^\n]*)
    | (?P<s>(?:\b[rbfuRBFU]{{1,2}})?(?:"{{3}}(?s:.*?)(?:"{{3}}|\Z)|'{{3}}(?s:.*?)(?:'{{3}}|\Z)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))
    | (?P<n>\b(?:0[xXoObB][\da-fA-F_]+|\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?)j?)
    | (?P<f>(?<=\bdef[ ])\w+|(?<=\bclass[ ])\w+|^[ ]*@[\w.]+)
    | (?P<k>\b(?:{"|".join(keyword.kwlist)})\b)
    """,
    re.VERBOSE | re.MULTILINE,
)
"""Generated code is most of a page, and one expression reads it ten times as fast as a lexer of rules."""


def highlighted(path: str, text: str) -> list[str]:
    """HTML of every line; a token over several lines is marked in each of them."""
    lines = [""]
    for group, piece in _pieces(path.rpartition(".")[2], text.removesuffix("\n")):
        for index, part in enumerate(piece.split("\n")):
            if index:
                lines.append("")
            shown = html.escape(part, quote=False)
            lines[-1] += f"<i class={group}>{shown}</i>" if group and part.strip() else shown
    return lines


def _pieces(kind: str, text: str) -> Iterator[tuple[str, str]]:
    """The text in pieces, each with its class, "" for none."""
    if kind == "py":
        end = 0
        for found in PYTHON.finditer(text):
            yield "", text[end : found.start()]
            yield found.lastgroup or "", found[0]
            end = found.end()
        yield "", text[end:]
        return
    lexer: Lexer = LEXERS.get(kind, TextLexer)()
    for group, tokens in groupby(lexer.get_tokens_unprocessed(text), key=lambda found: _class_of(found[1])):
        yield group, "".join(value for _, _, value in tokens)


@functools.cache
def _class_of(token: _TokenType) -> str:
    return next((name for group, name in CLASSES if token in group), "")
