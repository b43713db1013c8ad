"""Errors that are about the user's input, not about the network."""


class UsageError(Exception):
    """What a user gave cannot be used; the message is one line with the mend in it."""
