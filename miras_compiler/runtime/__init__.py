"""The runtime that generated packages share: typed Python that `miras compile` copies into a package as it is.

A module here imports torch, triton, its siblings (`from .runtime_x import …`) and nothing of the compiler, so it works in both places.
"""
