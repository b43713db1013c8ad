"""What a host decides: IP, TCP and UDP without a clock, randomness or a file descriptor."""
