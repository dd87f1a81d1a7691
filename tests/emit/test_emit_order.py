"""The order of the statements of a tile: where tiles are loaded."""

from __future__ import annotations

from dataclasses import replace

from miras_compiler.emit.triton.order import around_long, with_early_loads
from miras_compiler.emit.triton.statement import Statement

TILE = 64 * 64 * 4


def load(name: str) -> Statement:
    return Statement((f"{name} = load_tile({name}_ptr)",), name, TILE, is_load=True)


def product(name: str, *reads: str) -> Statement:
    return Statement((f"{name} = dot({', '.join(reads)}, DOT)",), name, TILE, frozenset(reads), is_product=True)


def entrywise(name: str, *reads: str) -> Statement:
    return Statement((f"{name} = {' + '.join(reads)}",), name, TILE, frozenset(reads))


STATEMENTS = [
    load("a"),
    product("b", "a", "a"),
    entrywise("c", "b", "b"),
    load("d"),
    product("e", "c", "d"),
    load("f"),
    entrywise("g", "e", "f"),
]


def names(has_room: bool) -> str:
    return "".join(statement.name for statement in with_early_loads(STATEMENTS, "each", has_room))


def test_a_tile_is_loaded_before_the_product_in_front_of_its_reader_where_there_is_room() -> None:
    assert names(has_room=True) == "adbcfeg"


def test_a_tile_is_loaded_one_statement_ahead_where_registers_are_short() -> None:
    assert names(has_room=False) == "abdcfeg"


def test_a_long_statement_has_only_those_before_it_that_it_needs_and_loads_that_others_need_too_come_again() -> None:
    """`d` is loaded for `e` alone, `a` for both sides of the long statement `l`."""
    given = [
        load("a"),
        load("d"),
        product("b", "a", "a"),
        replace(entrywise("l", "b"), long=True),
        product("e", "l", "d"),
        entrywise("g", "e", "a"),
    ]
    assert ["".join(statement.name for statement in group) for group in around_long(given)] == ["abl", "adeg"]
