"""OSError as Linux words it; the core cannot ask the operating system, it imports none."""

import errno

_TEXTS = {
    errno.EAGAIN: "Resource temporarily unavailable",
    errno.EACCES: "Permission denied",
    errno.EADDRINUSE: "Address already in use",
    errno.EADDRNOTAVAIL: "Cannot assign requested address",
    errno.EAFNOSUPPORT: "Address family not supported by protocol",
    errno.EBADF: "Bad file descriptor",
    errno.ECONNABORTED: "Software caused connection abort",
    errno.ECONNREFUSED: "Connection refused",
    errno.ECONNRESET: "Connection reset by peer",
    errno.EDESTADDRREQ: "Destination address required",
    errno.EHOSTDOWN: "Host is down",
    errno.EHOSTUNREACH: "No route to host",
    errno.EINVAL: "Invalid argument",
    errno.EMSGSIZE: "Message too long",
    errno.ENETUNREACH: "Network is unreachable",
    errno.ENOMEM: "Cannot allocate memory",
    errno.ENONET: "Machine is not on the network",
    errno.ENOPROTOOPT: "Protocol not available",
    errno.ENOTCONN: "Transport endpoint is not connected",
    errno.EOPNOTSUPP: "Operation not supported",
    errno.EPIPE: "Broken pipe",
    errno.EPROTO: "Protocol error",
    errno.ETIMEDOUT: "Connection timed out",
}


def errno_text(number: int) -> str:
    """What Linux says of an errno."""
    return _TEXTS.get(number, errno.errorcode.get(number, str(number)))


def system_error(number: int) -> OSError:
    """The exception for an errno; Python picks the subclass."""
    return OSError(number, errno_text(number))
