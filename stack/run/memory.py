"""What a process that serves for long does about garbage collection."""

import gc


def settle() -> None:
    """Exempts all that exists now from garbage collection: modules, classes, listeners.

    Call it once, when everything is set up. The collector looks through all objects each time
    that enough new ones came to stay, which a server's connections and requests do all day; with
    what was there before they came, that took a fifth of the time of a small HTTP/2 request.
    """
    gc.freeze()
