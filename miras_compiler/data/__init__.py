"""Texts, genomes and series of numbers: how they lie on disk, and what of them is held out."""
