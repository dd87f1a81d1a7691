"""Random formulas in the grammar of a spec: losses, feature maps, generators. Every draw is from the `random.Random` that is given.

They are composed of functions that are tame for arguments of order 1, and any of them may come out constant, concave or without an
inverse: then the compiler says so.
"""

from __future__ import annotations

from random import Random

ONE = (
    "abs({})", "({})**2", "tanh({})", "sigmoid({})", "softplus({})", "log(cosh({}))", "sqrt(1 + ({})**2)", "exp(-({})**2)", "sign({})",
    "abs({})**1.5", "-({})", "max({}, 0)", "min({}, 0.5)", "sinh(tanh({}))", "log(1 + ({})**2)", "({})/(1 + abs({}))",
    "asinh({})", "atan({})", "erf({})",
)  # fmt: skip
TWO = ("{} + {}", "{} - {}", "({})*({})", "min({}, {})", "max({}, {})", "({})/(1 + ({})**2)")
OF_A_ROW = ("sum({})", "sum({})", "sum({})", "norm({})", "max({})")
OF_NUMBERS = ("sqrt(0.1 + ({})**2)", "softplus({})", "({})**2/2", "log(1 + exp({}))", "min({}, 3)", "2*({})")
CONVEX = (
    "w**2/2", "w**2", "cosh(w)", "w*log(w)", "w*log(w) - w", "w*log(w) + (1 - w)*log(1 - w)", "w**4/4", "abs(w)**1.5", "abs(w)", "exp(w)",
    "softplus(w)", "sqrt(1 + w**2)", "log(cosh(w))", "-log(w)", "w*sinh(w)", "w**2 + w", "w*asinh(w) - sqrt(1 + w**2)",
)  # fmt: skip
NOT_CONVEX = ("w**3", "-w**2", "tanh(w)", "w**4 - w**2")
OF_A_RATIO = (
    "t*log(t)", "t*log(t) - t + 1", "(t - 1)**2/2", "(t - 1)**2", "-log(t)", "(sqrt(t) - 1)**2", "t**3/3", "t**1.5", "cosh(t - 1)",
    "abs(t - 1)", "t*log(t) - (1 + t)*log((1 + t)/2)", "exp(t)", "t**2/2 + t*log(t)", "t",
)  # fmt: skip
MAPS = ("max(x, 0)", "x**2", "exp(x - max(x))", "x/norm(x)", "x", "softplus(x)", "exp(x)/sum(exp(x))", "max(x, 0)*x", "2*x - 1")


def random_loss(random: Random) -> tuple[str, tuple[str, ...]]:
    """A loss in u and v, and the names of the gates that are in it."""
    gates: list[str] = []
    loss = _number_of_a_row(random, 2, gates)
    return loss, tuple(dict.fromkeys(gates))


def random_map(random: Random) -> str:
    """A feature map in x."""
    return random.choice(MAPS) if random.random() < 0.6 else _coordinate(random, 2, ("x", "x", "x/2", "0.5"), [])


def random_generator(random: Random) -> str:
    """A regularizer in w, most often a sum of convex functions."""
    terms = random.sample(CONVEX, random.choice((1, 1, 2, 3)))
    if random.random() < 0.1:
        terms.append(random.choice(NOT_CONVEX))
    return " + ".join(term if random.random() < 0.6 else f"{random.choice((0.5, 2, 3))}*({term})" for term in terms)


def random_ratio_generator(random: Random) -> str:
    """An f of an f-divergence, in t."""
    return random.choice(OF_A_RATIO)


def _number_of_a_row(random: Random, depth: int, gates: list[str]) -> str:
    """One number per token: reductions over coordinates, put together."""
    draw = random.random()
    if depth and draw < 0.25:
        return random.choice(OF_NUMBERS).format(_number_of_a_row(random, depth - 1, gates))
    if depth and draw < 0.5:
        parts = (_number_of_a_row(random, depth - 1, gates), _number_of_a_row(random, depth - 1, gates))
        return random.choice(("{} + {}", "{} - {}/4", "max({}, {})")).format(*parts)
    leaves = ("u - v", "u - v", "u - v", "u", "u*v", "0.5")
    return random.choice(OF_A_ROW).format(_coordinate(random, random.choice((1, 2, 2)), leaves, gates))


def _coordinate(random: Random, depth: int, leaves: tuple[str, ...], gates: list[str]) -> str:
    """A value per coordinate; leaves of a loss are now and then multiplied by a gate."""
    draw = random.random()
    if depth == 0 or draw < 0.1:
        leaf = random.choice(leaves)
        if "u" in "".join(leaves) and random.random() < 0.1:
            gates.append(random.choice(("rho", "temperature")))
            return f"{gates[-1]}*({leaf})"
        return leaf
    if draw < 0.7:
        pattern = random.choice(ONE)
        inner = _coordinate(random, depth - 1, leaves, gates)
        return pattern.replace("{}", inner)
    pattern = random.choice(TWO)
    return pattern.format(*(f"({_coordinate(random, depth - 1, leaves, gates)})" for _ in range(2)))
