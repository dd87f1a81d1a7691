"""Expressions: the letters of the mathematics, the grammar of the user's formulas, their derivatives and their inverses."""
