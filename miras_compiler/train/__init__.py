"""Trains a package's model on a text, a genome or a task, in a run's folder, on transformers' Trainer.

`settings` are a user's choices, `sources` give sequences, `folder` makes a run's folder, `loop` trains in it.
Nothing here imports a stage of the compiler: a machine that trains needs the package alone.
"""
