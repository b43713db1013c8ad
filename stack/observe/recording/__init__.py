"""Recordings of a host's inputs, and their replay bit for bit.

The core has no clock, no randomness and no descriptor, so all that it does follows from what is
brought to it: packets, times, calls and random bytes. `recorder` writes these down as they
come, with digests of what the host made of them; `player` does the same calls again on a fresh
host and compares.
"""
