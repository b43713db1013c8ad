"""A complete TCP/IP stack in a Python process that can explain itself."""

__version__ = "0.1.0"
