"""What is said of a packet besides its contents: why it was sent, what was made of it."""

from stack.core.events import PacketReceived, PacketSent
from stack.core.why import Verdict

# What happens to most packets that arrive needs no words.
EXPECTED = frozenset(
    {
        Verdict.IN_ORDER,
        Verdict.ACKNOWLEDGEMENT,
        Verdict.SYN_RECEIVED,
        Verdict.SYN_ACK_RECEIVED,
        Verdict.HANDSHAKE_COMPLETE,
        Verdict.FIN_RECEIVED,
        Verdict.ECHO_REQUEST,
        Verdict.ECHO_REPLY,
        Verdict.DATAGRAM,
    }
)

# Such packets change nothing, so they must not disturb what is known of their connection.
UNSOUND = frozenset({Verdict.MALFORMED, Verdict.BAD_CHECKSUM})


def explanation(event: PacketSent | PacketReceived) -> str:
    """The line that goes with a packet; "" where there is nothing remarkable."""
    if isinstance(event, PacketSent):
        return event.why.explain(event.detail)
    return "" if event.verdict in EXPECTED else event.verdict.explain(event.detail)
