"""What applications say over TCP connections, by name: TLS, HTTP/1.1, HTTP/2."""
