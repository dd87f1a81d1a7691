"""Functions that emitted PyTorch may call, as text; a file holds those that its code needs."""

from __future__ import annotations

SUBSTITUTION = '''
def {name}(lower: Tensor, right: Tensor, phi: Callable[[Tensor, slice], Tensor], together: int) -> Tensor:
    """X [..., C, V] with X_t = phi(R_t − Σ_{{j<t}} L_tj X_j, t), L [..., {axes}]: products between blocks of about 16 rows; inside a
    block one row after another, or as many `together` as L leaves uncoupled.
    """
    done: list[Tensor] = []
    size = max(16 // together, 1) * together
    for first in range(0, right.shape[-2], size):
        block = right[..., first : first + size, :]
        if done:
            block = block - {between}
        found: list[Tensor] = []
        for t in range(first, first + block.shape[-2], together):
            at = slice(t, t + together)
            row = block[..., t - first : t - first + together, :]
            if found:
                row = row - {inside}
            found.append(phi(row, at))
        done.append(torch.cat(found, -2))
    return torch.cat(done, -2)
'''
HELPERS = {
    "power0": '''
def power0(x: Tensor, exponent: float) -> Tensor:
    """x to the power; where that is singular (0, or negative under a fraction), the value and every derivative are 0."""
    inside = x != 0 if exponent == int(exponent) else ~(x <= torch.finfo(x.dtype).tiny)  # nan, which a number must not hide, too
    return torch.where(inside, torch.where(inside, x, 1.0) ** exponent, 0.0)
''',
    "divisor0": '''
def divisor0(x: Tensor, exponent: float) -> Tensor:
    """x to the power, to divide by: infinite where that is singular, so that the quotient and every derivative are 0."""
    inside = x != 0 if exponent == int(exponent) else ~(x <= torch.finfo(x.dtype).tiny)  # nan, which a number must not hide, too
    return torch.where(inside, torch.where(inside, x, 1.0) ** exponent, torch.inf)
''',
    "softplus": '''
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), without overflow."""
    return torch.logaddexp(x, torch.zeros_like(x))
''',
    "gelu_slope": '''
def gelu_slope(x: Tensor) -> Tensor:
    """Derivative of gelu; the density in two factors, so that where it is 0 a large gradient meets one before it meets x."""
    root = torch.exp(-0.25 * x.square())
    slope: Tensor = 0.3989422804014327 * x * root * root + torch.special.ndtr(x)
    return slope
''',
    "gelu_tanh_slope": '''
def gelu_tanh_slope(x: Tensor) -> Tensor:
    """Derivative of gelu_tanh; 1/cosh² in two factors, so that where it is 0 a large gradient meets one before it meets x.

    Of large x neither is a cube taken: beyond ±25 that square is 0 and the rest a step.
    """
    near = x.clamp(-25, 25)
    inner = 0.7978845608028654 * near * (1 + 0.044715 * near.square())
    decay = torch.exp(-inner.abs())
    root = decay / (1 + decay.square())  # 1 / (2 cosh(inner))
    return 1.5957691216057308 * near * (1 + 0.134145 * near.square()) * root * root + torch.sigmoid(2 * inner)
''',
    "silu_slope": '''
def silu_slope(x: Tensor) -> Tensor:
    """Derivative of silu; that of the sigmoid in two factors, so that where it is 0 a large gradient meets one before it meets x."""
    decay = torch.exp(-0.5 * x.abs())
    root = decay / (1 + decay.square())  # √(sigmoid(x) sigmoid(−x))
    return x * root * root + torch.sigmoid(x)
''',
    "log_cosh": '''
def log_cosh(x: Tensor) -> Tensor:
    """log(cosh(x)), without overflow."""
    return torch.logaddexp(x, -x) - 0.6931471805599453
''',
    "indicator": '''
def indicator(x: Tensor) -> Tensor:
    """1 where x > 0, else 0."""
    return (x > 0).to(x.dtype)
''',
    "attains": '''
def attains(x: Tensor, largest: Tensor) -> Tensor:
    """1 where x is the largest, else 0."""
    return (x >= largest).to(x.dtype)
''',
    "sum_before": '''
def sum_before(x: Tensor, dim: int) -> Tensor:
    """Cumulative sum that leaves the entry itself out."""
    first, rest = torch.zeros_like(x.narrow(dim, 0, 1)), x.narrow(dim, 0, x.shape[dim] - 1)
    return torch.cat((first, rest), dim).cumsum(dim)
''',
    "sum_after": '''
def sum_after(x: Tensor, dim: int) -> Tensor:
    """Sum of the entries behind each."""
    return sum_before(x.flip(dim), dim).flip(dim)
''',
    "segment_sums": '''
def segment_sums(x: Tensor) -> Tensor:
    """[..., t, j]: the sum of x over j < l ≤ t."""
    return x[..., None].expand(*x.shape, x.shape[-1]).tril(-1).cumsum(-2)
''',
    "forward_substitute": SUBSTITUTION.format(
        name="forward_substitute",
        axes="C, C",
        between="lower[..., first : first + size, :first] @ torch.cat(done, -2)",
        inside="lower[..., at, first:t] @ torch.cat(found, -2)",
    ),
    "forward_substitute_by_channel": SUBSTITUTION.format(
        name="forward_substitute_by_channel",
        axes="C, C, V",
        between='torch.einsum("...tjv,...jv->...tv", lower[..., first : first + size, :first, :], torch.cat(done, -2))',
        inside='torch.einsum("...tjv,...jv->...tv", lower[..., at, first:t, :], torch.cat(found, -2))',
    ),
    "segment_sums_before": '''
def segment_sums_before(x: Tensor) -> Tensor:
    """[..., t, j]: the sum of x over j < l < t."""
    return sum_before(x[..., None].expand(*x.shape, x.shape[-1]).tril(-1), -2)
''',
}  # fmt: skip
SIGNED = "torch.sign(t) * torch.exp(torch.abs(t) - far)"  # as fine next to 0 as anywhere
IMAGES = (  # how far t goes, its image in the domain (as in slopes.IMAGES), and how a step is kept inside
    ("2 * far", SIGNED, "w - {}"), ("far", "torch.exp(t)", "(w - {}).clamp(min=0)"),
    ("far", "torch.sigmoid(t)", "(w - {}).clamp(0, 1)"), ("2 * far", f"torch.tanh({SIGNED})", "(w - {}).clamp(-1, 1)"),
)  # fmt: skip
INVERSE = '''
def {name}(a: Tensor) -> Tensor:
    """w with F'(w) = a: bisection over t, then one Newton step, through which derivatives flow."""
    with torch.no_grad():
        far = torch.full_like(a, torch.finfo(a.dtype).max).log()
        high = {span}
        low = -high
        for _ in range(64):
            t = (low + high) / 2
            w = {image}
            slope = {slope}
            below = torch.where(slope.isnan(), t < 0, slope < a)  # no number: too far out
            low, high = torch.where(below, t, low), torch.where(below, high, t)
        t = torch.where(low > 0, low, high)  # the nearer to 0 of the two
        w = {image}
    return {step}
'''
NEEDS = {"sum_after": ("sum_before",), "segment_sums_before": ("sum_before",)}
