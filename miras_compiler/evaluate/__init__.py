"""Measures the predictions, recall and forecasts of trained models; draws texts from them; shows the writes of their memories for a text.

Modules here work on run folders and on folders of saved models, and on nothing of the compiler.
"""
