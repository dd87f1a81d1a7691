"""Generated packages on a GPU: whether their kernels are right, how fast they are beside their peers, and which launches are best.

Everything here works on packages that were compiled before; it needs torch, Triton and a GPU, and nothing of the compiler. Whatever
runs a kernel does so in a process of its own: one that dies takes nothing with it.
"""
