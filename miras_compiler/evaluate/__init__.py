"""What a trained model can do: how well it predicts, recalls and forecasts, how it goes on with a text, and what its memories store of one.

Modules here work on run folders and on folders of saved models, and on nothing of the compiler.
"""
