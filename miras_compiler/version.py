"""The version, for the command line, for headers of generated files and for bug reports."""

__version__ = "0.1.0"
