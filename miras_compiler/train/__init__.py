"""Trains a package: data, run folder, and a loop on transformers' Trainer."""
