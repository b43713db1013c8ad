"""A drop-in for the standard library's module `socket`, on hosts of ours.

    host = BlockingHost(Host(["192.0.2.1/24"], random_bytes=os.urandom), link)
    socket = dropin.module(host)         # a module like `socket`, for this host
    with dropin.installed(host): ...     # `import socket` is the drop-in, all over the process

After `dropin.use(host)` this module itself offers what `socket` does.
"""

from types import ModuleType
from typing import Any

from stack.sockets.blocking import BlockingHost
from stack.sockets.dropin.place import installed, module, on, open_host
from stack.sockets.dropin.tls import teach_ssl

__all__ = ["installed", "module", "on", "open_host", "use"]

teach_ssl()
_in_use: list[ModuleType] = []


def use(host: BlockingHost) -> ModuleType:
    """From now on `stack.sockets.dropin` is a module like `socket` for `host`."""
    _in_use[:] = [module(host)]
    return _in_use[0]


def __getattr__(name: str) -> Any:
    if _in_use:
        return getattr(_in_use[0], name)
    raise AttributeError(f"{name}: call dropin.use(host) first, which host it shall be on")
