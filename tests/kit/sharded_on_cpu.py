"""The command line with FSDP on the CPU: accelerate shards a model on GPUs alone, so the processes of gloo say that they are some.

Run by `torchrun`, with the arguments of `miras`.
"""

from __future__ import annotations

import sys
from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType

from miras_compiler.cli import main

begin = PartialState.__init__


def begin_as_on_gpus(self: Any, *arguments: Any, **options: Any) -> None:
    begin(self, *arguments, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


if __name__ == "__main__":
    PartialState.__init__ = begin_as_on_gpus
    sys.exit(main())
