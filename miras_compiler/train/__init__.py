"""Trains a package's model on a text, a genome or a task, in a run's folder, on transformers' Trainer.

`settings` is what a user chooses, `sources` where sequences come from, `folder` makes a run's folder, `loop` trains in it.
Nothing here imports a stage of the compiler: a machine that trains needs the package alone.
"""
