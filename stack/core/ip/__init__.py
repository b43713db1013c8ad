"""The Internet layer: addresses, fragments, ICMP, path MTU and identification."""
