"""Tasks with a known answer, which measure the recall of a memory: drawn from a seed, without end, in NumPy alone.

A task is one file with one frozen dataclass; a user may set its fields (`--task mqar,vocab_size=64,pairs=4`), and their defaults
are those of the publication that it names. Adding one is a file here and a line in `names.py`.
"""

from miras_compiler.tasks.base import IGNORED, Example, Setting, Task, draw_batch, seeded
from miras_compiler.tasks.names import TASKS, build_task, describe_task

__all__ = ["IGNORED", "TASKS", "Example", "Setting", "Task", "build_task", "describe_task", "draw_batch", "seeded"]
