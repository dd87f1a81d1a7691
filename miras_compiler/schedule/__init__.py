"""From a chunk program to kernels: what runs in which kernel, what is saved between them, and why."""

from __future__ import annotations

from miras_compiler.schedule.build import build_schedules, why_not
from miras_compiler.schedule.describe import describe_schedules
from miras_compiler.schedule.kernel import Kernel, Schedule

__all__ = ["Kernel", "Schedule", "build_schedules", "describe_schedules", "why_not"]
