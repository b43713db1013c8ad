"""What drives a host: an asyncio loop, a thread, virtual time.

Here the clock enters. A driver reads its link, hands batches to the host, tells
applications what is ready, sends what the host has to send, and calls it again when a
timer is due.
"""
