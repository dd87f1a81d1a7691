"""Printing that the backends share: expressions, pieces of Python text, skeletons of files."""
