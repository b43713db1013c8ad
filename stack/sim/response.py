"""Response functions: the window that theory gives an algorithm at a rate of loss.

Both are of the deterministic model, in which each (1/loss)-th segment is lost, every segment
is acknowledged and recovery takes no time. Where losses come at random the same algorithms
carry more, since a long time without one gains more than a short one costs: Reno 7 %, CUBIC
16 to 22 %.
"""

from math import sqrt

from stack.core.tcp.congestion.cubic import BETA, C

SECOND = 1_000_000


def reno_window(loss: float) -> float:
    """Reno's average window in segments: the square root of 3/2 over the loss (Mathis and
    others 1997; AVG_AIMD(1, 0.5) of RFC 9438 §5.1). `loss` is a share, above 0 and up to 1.
    """
    return sqrt(1.5 / loss)


def cubic_window(loss: float, rtt: int) -> float:
    """CUBIC's average window in segments at a round-trip time in µs: AVG_W_cubic of RFC 9438
    §5.1, or Reno's where that is larger (§4.3, the Reno-friendly region).
    """
    own = (C * (3 + BETA) / (4 * (1 - BETA))) ** 0.25 * (rtt / SECOND / loss) ** 0.75
    return float(max(own, reno_window(loss)))


def rate(window: float, rtt: int, mss: int) -> float:
    """What a window of so many segments carries, in bit/s of text: one window each round trip
    (µs), `mss` being the bytes of text in a segment.
    """
    return window * mss * 8 * SECOND / rtt
