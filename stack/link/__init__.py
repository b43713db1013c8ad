"""What carries a host's packets: TUN devices, virtual wires, faults, captures.

Links wrap links: each takes and gives batches, and says when it must be called again.
"""
