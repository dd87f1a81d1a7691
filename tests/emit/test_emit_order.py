"""The order of the statements of a tile: where tiles are loaded."""

from __future__ import annotations

from miras_compiler.emit.triton.order import Statement, with_early_loads

TILE = 64 * 64 * 4
STATEMENTS = [
    Statement(("a = load_tile(a_ptr)",), "a", TILE),
    Statement(("b = dot(a, a, DOT)  # b = a a",), "b", TILE),
    Statement(("c = b + b",), "c", TILE),
    Statement(("d = load_tile(d_ptr)",), "d", TILE),
    Statement(("e = dot(c, d, DOT)",), "e", TILE),
    Statement(("f = load_tile(f_ptr)  # to dot(it, later)",), "f", TILE),
    Statement(("g = e * f",), "g", TILE),
]


def names(has_room: bool) -> str:
    return "".join(statement.name for statement in with_early_loads(STATEMENTS, "each", has_room))


def test_a_tile_is_loaded_before_the_product_in_front_of_its_reader_where_there_is_room() -> None:
    assert names(has_room=True) == "adbcfeg"


def test_a_tile_is_loaded_one_statement_ahead_where_registers_are_short() -> None:
    assert names(has_room=False) == "abdcfeg"
