"""UDP (RFC 768, RFC 1122 §4.1): endpoints, ports, datagrams in and out."""
