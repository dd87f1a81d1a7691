"""A package opened for verification: its operators and its layer in one process, its kernels in another."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import torch

from miras_compiler.errors import InputError
from miras_compiler.models.manifest import check_is_package, read_manifest
from miras_compiler.verify.package import OPERATORS, Package
from miras_compiler.verify.process import INTERPRET, Process
from miras_compiler.verify.remote import RemoteLayers, RemoteOperator


@contextmanager
def open_processes(folder: Path, name: str, layer: str, kernels: bool) -> Iterator[Package]:
    """The package `name` in `folder`, with the class `layer`; it is imported when it is first asked for something.

    `kernels`: whether there are kernels to run, on a GPU, or in Triton's interpreter where there is none. InputError if the folder holds
    no package.
    """
    check_is_package(folder)
    with ExitStack() as held:

        def process(on_gpu: bool = False, interpret: str = os.environ.get(INTERPRET, "0")) -> Process:
            started = Process(folder, name, {INTERPRET: interpret}, on_gpu)
            held.callback(started.end, "closed")
            return started

        plain, on_gpu = process(), torch.cuda.is_available()
        installed = importlib.util.find_spec("triton") is not None
        ways: dict[str, RemoteOperator] = {}
        if kernels and installed:
            launching = process(on_gpu=True) if on_gpu else process(interpret="1")
            ways = {f"triton_{target}": RemoteOperator(launching, target, backend="triton") for target in ("chunk", "fused_recurrent")}
            ways["triton_in_parts"] = RemoteOperator(launching, "chunk", in_parts=True, backend="triton")
        try:
            manifest = dict(read_manifest(folder))
        except InputError:
            manifest = {}  # which fails the rows that read it
        yield Package(
            manifest,
            **{target: RemoteOperator(plain, target) for target in OPERATORS},
            **ways,
            make_layer=RemoteLayers(plain, layer),
            exports=plain.open,
            models=partial(plain.request, "models"),
            interpreted=not on_gpu,
            why_no_kernels="Triton is not installed" if kernels and not installed else "",
        )
