"""The dependence of a late output on an early token, at the initial gates of the layer.

The token step is run in numpy, twice: on random rows such as a fresh layer makes, and with the first token changed by a thousandth. In a
stable memory the change fades or stays; in a chaotic one it grows from token to token. Widths and chunks that would take long are shorter.
"""

from __future__ import annotations

from math import prod

import numpy as np

from miras_compiler.analysis.token_loop import Loop, Token
from miras_compiler.derive.update_rule import UpdateRule
from miras_compiler.spec.stability import CHANGE, TOKENS, Sensitivity

WIDEST = 64  # of keys and values, where the spec's are wider
ENTRIES = 2**17  # of the state: the work of a token
LONGEST = 64  # tokens of a chunk, where the spec's is longer
EARLY, LATE = 16, 64  # tokens over which a change is averaged


def measure_sensitivity(rule: UpdateRule, *, tokens: int = TOKENS, seed: int = 0) -> Sensitivity:
    """The sensitivity of a rule at the widths of its spec, or narrower ones where these are costly."""
    loop = Loop(rule, width_of(rule), LONGEST)
    random = np.random.default_rng(seed)
    sequence = [loop.draw_token(random) for _ in range(tokens)]
    start = loop.draw_state(random)
    plain = loop.outputs(sequence, start)
    changed = loop.outputs([_changed(sequence[0], random), *sequence[1:]], start)
    with np.errstate(all="ignore"):
        apart = np.linalg.norm(changed - plain, axis=-1) / np.linalg.norm(plain, axis=-1)
        early, late = (float(np.sqrt(np.mean(part**2))) for part in (apart[LONGEST : LONGEST + EARLY], apart[-LATE:]))
    return Sensitivity(early, late if np.isfinite(late) else np.inf, tokens)


def width_of(rule: UpdateRule) -> int:
    """The width at which the rule is run: that of the spec, halved until a state is small enough."""
    width = min(WIDEST, rule.frame.key_dim)
    while width > 4 and sum(prod(shape) for shape in Loop(rule, width, LONGEST).shapes.values()) > ENTRIES:
        width //= 2
    return width


def _changed(token: Token, random: np.random.Generator) -> Token:
    """The token with every row moved by CHANGE of its length, in a random direction."""
    moved = {}
    for name, x in token.items():
        drawn = random.standard_normal(x.shape)
        moved[name] = x + CHANGE * np.linalg.norm(x) / np.linalg.norm(drawn) * drawn
    return moved
