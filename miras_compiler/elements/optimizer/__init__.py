"""The inner optimizers, as one union on `kind`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from miras_compiler.elements.optimizer.base import Optimizer
from miras_compiler.elements.optimizer.gradient_descent import GradientDescent
from miras_compiler.elements.optimizer.implicit import Implicit
from miras_compiler.elements.optimizer.momentum import Momentum
from miras_compiler.elements.optimizer.muon import Muon
from miras_compiler.elements.optimizer.nesterov import Nesterov
from miras_compiler.elements.optimizer.preconditioned import Preconditioned

AnyOptimizer = Annotated[GradientDescent | Momentum | Nesterov | Implicit | Muon | Preconditioned, Field(discriminator="kind")]

__all__ = ["AnyOptimizer", "GradientDescent", "Implicit", "Momentum", "Muon", "Nesterov", "Optimizer", "Preconditioned"]
