"""Texts, genomes and series of numbers: their files, and the parts that are held out."""
