# mypy: disable-error-code="import-not-found, import-untyped"
"""The availability of Triton in this process, the reason where it cannot be used, and the error of kernels that no launch can start."""

from __future__ import annotations


class CannotLaunch(RuntimeError):
    """No launch of a kernel works on this GPU with this Triton."""


class TooLarge(CannotLaunch):
    """A state of these widths is larger than kernels hold at once, which is known before one is launched."""


def why_no_triton() -> str:
    """The reason why Triton cannot be used; "" where it can.

    Triton may be installed and still fail when it is imported, for example where a library of the GPU's driver is missing.
    """
    try:
        import triton
        import triton.language  # noqa: F401
    except ModuleNotFoundError as problem:
        return "Triton is not installed" if problem.name == "triton" else f"Triton cannot be imported: {problem}"
    except Exception as problem:  # an import may raise anything; none of it may keep the PyTorch forms from running
        return f"Triton cannot be imported: {type(problem).__name__}: {problem}"
    return ""


WHY_NO_TRITON = why_no_triton()
HAS_TRITON = not WHY_NO_TRITON
