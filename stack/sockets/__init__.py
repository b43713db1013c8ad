"""How applications use a host: asyncio transports, and sockets that block."""
