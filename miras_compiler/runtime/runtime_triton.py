"""Whether Triton can be used in this process, and the reason where it cannot."""

from __future__ import annotations


def why_no_triton() -> str:
    """The reason why Triton cannot be used; "" where it can.

    Triton may be installed and still fail when it is imported, for example where a library of the GPU's driver is missing.
    """
    try:
        import triton.language  # noqa: F401
    except ModuleNotFoundError as problem:
        return "Triton is not installed" if problem.name == "triton" else f"Triton cannot be imported: {problem}"
    except Exception as problem:  # an import may raise anything; none of it may keep the PyTorch forms from running
        return f"Triton cannot be imported: {type(problem).__name__}: {problem}"
    return ""


WHY_NO_TRITON = why_no_triton()
HAS_TRITON = not WHY_NO_TRITON
