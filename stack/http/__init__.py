"""HTTP/1.1, HTTP/2 and TLS for ASGI applications, on any host with asyncio's transports."""
