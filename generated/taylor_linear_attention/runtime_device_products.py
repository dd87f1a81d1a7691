# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator"
"""Device functions for matrix products on the tensor cores.

DOT is the type that operands are rounded to: that of the tokens, and float32 where their range is too small for states. Sums are float32.
The endings say which operands are transposed: `_tn` the left one, `_nt` the right one, `_tt` both.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def dot(a, b, DOT: tl.constexpr):
    """a b, with operands of the type DOT."""
    return tl.dot(a.to(DOT), b.to(DOT), input_precision="tf32x3")


@triton.jit
def dot_tn(a, b, DOT: tl.constexpr):
    """aᵀ b."""
    return dot(tl.trans(a.to(DOT)), b, DOT)


@triton.jit
def dot_nt(a, b, DOT: tl.constexpr):
    """a bᵀ."""
    return dot(a, tl.trans(b.to(DOT)), DOT)


@triton.jit
def dot_tt(a, b, DOT: tl.constexpr):
    """aᵀ bᵀ."""
    return dot(tl.trans(a.to(DOT)), tl.trans(b.to(DOT)), DOT)


@triton.jit
def exact_dot(a, b, DOT: tl.constexpr):
    """a b with operands of float32: in one pass of the tensor cores (tf32), and in three passes (tf32x3) where DOT is float32.

    The tensor cores cut the last 13 bits of tf32 operands off. A sum of weights that all lost a part of themselves is too small as a whole,
    and the solve behind it makes more of that; so they are rounded to the nearest before.
    """
    if tl.float32 == DOT:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="tf32x3")
    return tl.dot(nearest(a.to(tl.float32)), nearest(b.to(tl.float32)), input_precision="tf32")


@triton.jit
def nearest(x):
    """The number of 11 bits that is nearest to x; of two, the larger one. nan stays nan."""
    bits = x.to(tl.int32, bitcast=True)
    return tl.where(x == x, ((bits + 4096) & -8192).to(tl.float32, bitcast=True), x)


@triton.jit
def solve_dot(inverse, b, DOT: tl.constexpr):
    """The same for an inverse, whose entries `inverse` has rounded: it comes from memory into the tensor cores without a detour."""
    if tl.float32 == DOT:
        return tl.dot(inverse.to(tl.float32), b.to(tl.float32), input_precision="tf32x3")
    return tl.dot(inverse.to(tl.float32), nearest(b.to(tl.float32)), input_precision="tf32")


@triton.jit
def exact_dot_apart(a, b, PRECISION: tl.constexpr):
    """a b with operands of float32 in a loop of one turn; PRECISION is one of tl.dot's.

    An operand that other products read, too, so has a copy in shared memory for this one alone. Of a walk with Muon, whose reverse mode
    reads every product once more, copies that live from the first product to the last take more shared memory than there is.
    """
    product = tl.zeros([a.shape[0], b.shape[1]], tl.float32)
    for _ in tl.range(tl.minimum(tl.num_programs(0), 1), num_stages=1, disable_licm=True):
        product = tl.dot(a.to(tl.float32), b.to(tl.float32), product, input_precision=PRECISION)
    return product


@triton.jit
def window_dot(a, b, DOT: tl.constexpr):
    """a b for the rows of a window, whose gradients cancel: of float32 where DOT is, else to 22 bits."""
    return exact_dot_apart(a, b, "ieee" if tl.float32 == DOT else "tf32x3")


@triton.jit
def state_dot(a, b, DOT: tl.constexpr):
    """a b for tiles of a state: to 22 bits where DOT is float32, else to 11."""
    return exact_dot_apart(a, b, "tf32x3" if tl.float32 == DOT else "tf32")


@triton.jit
def dot_apart(a, b, DOT: tl.constexpr, T):
    """a b in a loop of one turn, which hides from Triton that the result goes into another product.

    Where Triton sees that it does, it gives every warp whole rows; of 64 rows, two of eight warps would then compute the same.
    """
    product = tl.zeros([a.shape[0], b.shape[1]], tl.float32)
    for _ in tl.range(tl.minimum(T, 1), num_stages=1):
        product = tl.dot(a.to(DOT), b.to(DOT), product, input_precision="tf32x3")
    return product


@triton.jit
def dot_apart_nt(a, b, DOT: tl.constexpr, T):
    """a bᵀ in a loop of one turn."""
    return dot_apart(a, tl.trans(b.to(DOT)), DOT, T)
