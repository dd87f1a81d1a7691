"""What an inner optimizer is: how the surprise becomes the step S that is added to the dual state."""

from __future__ import annotations

from miras_compiler.elements.base import Element


class Optimizer(Element):
    """Every optimizer reads the step size eta; `gates` names what it reads besides."""
