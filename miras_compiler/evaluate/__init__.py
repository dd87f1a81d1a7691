"""Measures trained models: how well they predict, recall and forecast; draws texts from them; shows what their memories store of a text.

Modules here work on run folders and on folders of saved models, and on nothing of the compiler.
"""
