"""Named counters of what a host received, sent and refused.

The names follow the SNMP MIBs (RFC 4293, RFC 4022, RFC 4113) where those have one, so that
they can be laid beside the kernel's own; IPv4 and IPv6 are counted together.
"""

from collections.abc import Callable, Mapping

COUNTERS: Mapping[str, str] = {
    "IpInReceives": "packets that came from the link",
    "IpInBytes": "bytes of those packets, with their IP headers",
    "IpInHdrErrors": "packets dropped for a bad IP header",
    "IpInTruncatedPkts": "packets dropped because bytes were missing",
    "IpInCsumErrors": "IPv4 packets dropped for a bad header checksum",
    "IpInAddrErrors": "packets dropped because their destination is not ours",
    "IpInSourceRoutes": "packets dropped because they came by a source route",
    "IpInBadSources": "packets dropped because their source cannot be answered",
    "IpInUnknownProtos": "packets for a protocol that this host has not",
    "IpInDiscards": "good packets dropped for want of room",
    "IpInDelivers": "packets handed to TCP, UDP or ICMP",
    "IpOutRequests": "packets that this host wanted to send",
    "IpOutBytes": "bytes of packets sent, with their IP headers",
    "IpOutDiscards": "packets not sent for want of room or rate",
    "IpOutNoRoutes": "packets not sent for want of a source address",
    "IpReasmReqds": "fragments received",
    "IpReasmOKs": "packets rebuilt from fragments",
    "IpReasmFails": "reassemblies given up, for any reason",
    "IpReasmTimeout": "reassemblies given up after their time",
    "IpReasmOverlaps": "reassemblies given up because fragments contradict each other",
    "IpReasmDuplicates": "fragments ignored as copies of one held",
    "IpReasmMalformed": "fragments refused: empty, not a multiple of 8 bytes, or cut headers",
    "IpReasmOversized": "fragments refused because the packet would exceed 65,535 bytes",
    "IpReasmEvicted": "reassemblies given up for newer ones, by the limits",
    "IpReasmTooMany": "reassemblies given up because of too many small fragments",
    "IpReasmEcnErrors": "reassemblies given up because ECN codepoints contradict each other",
    "IpFragOKs": "packets sent as fragments",
    "IpFragFails": "packets that had to be fragmented and could not",
    "IpFragCreates": "fragments sent",
    "IcmpInMsgs": "ICMP and ICMPv6 messages received",
    "IcmpInErrors": "ICMP messages that are cut short or make no sense",
    "IcmpInCsumErrors": "ICMP messages with a bad checksum",
    "IcmpInDestUnreachs": "destination unreachable received",
    "IcmpInPktTooBigs": "packet too big, or fragmentation needed, received",
    "IcmpInTimeExcds": "time exceeded received",
    "IcmpInParmProbs": "parameter problem received",
    "IcmpInSrcQuenchs": "source quench received and ignored",
    "IcmpInEchos": "echo requests received",
    "IcmpInEchoReps": "echo replies received",
    "IcmpInForeign": "ICMP errors about packets that this host did not send",
    "IcmpOutMsgs": "ICMP and ICMPv6 messages sent",
    "IcmpOutErrors": "ICMP errors that were due and that the rules forbid",
    "IcmpOutRateLimited": "ICMP messages that were due and over the limit of rate",
    "IcmpOutDestUnreachs": "destination unreachable sent",
    "IcmpOutPktTooBigs": "packet too big, or fragmentation needed, sent",
    "IcmpOutTimeExcds": "time exceeded sent",
    "IcmpOutParmProbs": "parameter problem sent",
    "IcmpOutEchos": "echo requests sent",
    "IcmpOutEchoReps": "echo replies sent",
    "TCPMTUPSuccess": "probes of a larger path MTU that arrived",
    "TCPMTUPFail": "probes of a larger path MTU that did not",
    "TCPMTUPBlackHole": "times that full segments vanished and smaller ones were tried",
    "PathMtuLowered": "path MTU estimates that a router's message lowered",
    "PathMtuRaised": "path MTU estimates given up as too old",
    "UdpInDatagrams": "datagrams handed to an application",
    "UdpNoPorts": "datagrams for a port that no one uses",
    "UdpInErrors": "datagrams dropped for another reason",
    "UdpInCsumErrors": "datagrams with a bad checksum",
    "UdpRcvbufErrors": "datagrams dropped because the receive buffer was full",
    "UdpOutDatagrams": "datagrams sent",
    "TcpInSegs": "segments received",
    "TcpOutSegs": "segments sent, without retransmissions",
    "FastInSegs": "segments received that the segment path in C finished",
    "FastOutSegs": "segments sent that the segment path in C built",
    "TcpRetransSegs": "segments retransmitted",
    "TcpInErrs": "segments dropped for a bad header or checksum",
    "TcpInCsumErrors": "segments with a bad checksum",
    "TcpOutRsts": "resets sent",
    "TcpInRsts": "resets accepted",
    "TcpActiveOpens": "connections opened by this host",
    "TcpPassiveOpens": "connections opened by a peer",
    "TcpAttemptFails": "connections that failed before they were established",
    "TcpEstabResets": "established connections that ended by a reset",
    "TcpNoPorts": "segments for which there is no connection and no listener",
    "ListenOverflows": "handshakes that found the accept queue full",
    "ListenDrops": "SYNs that a listener dropped, for any reason",
    "TCPReqQFull": "SYNs dropped because the SYN queue was full",
    "SyncookiesSent": "SYN cookies sent",
    "SyncookiesRecv": "SYN cookies that came back",
    "SyncookiesFailed": "ACKs that carried no valid SYN cookie",
    "TCPFastOpenActive": "connections whose SYN carried data that the server took",
    "TCPFastOpenActiveFail": "connections whose SYN carried data that the server left",
    "TCPFastOpenPassive": "connections handed out before the handshake was over",
    "TCPFastOpenPassiveFail": "SYNs with a Fast Open cookie that is none of ours",
    "TCPFastOpenListenOverflow": "SYNs with a good cookie over the limit of early connections",
    "TCPFastOpenCookieReqd": "SYNs that asked for a Fast Open cookie",
    "TCPFastOpenBlackhole": "paths found to drop Fast Open",
    "TCPTimeouts": "retransmission timeouts",
    "TCPSynRetrans": "SYNs and SYN-ACKs retransmitted",
    "TCPFastRetrans": "fast retransmissions",
    "TCPSlowStartRetrans": "retransmissions in slow start, after a timeout",
    "TCPLossProbes": "tail loss probes sent",
    "TCPSpuriousRTOs": "retransmission timeouts that turned out needless",
    "TCPFullUndo": "recoveries taken back because nothing had been lost",
    "TCPEcnReductions": "times the window was reduced because marks were echoed",
    "TCPSackRecovery": "recoveries begun by SACK",
    "TCPRenoRecovery": "recoveries begun by duplicate ACKs",
    "TCPSACKReneging": "times a receiver threw away what it had selectively acknowledged",
    "TCPSACKDiscard": "SACK blocks that make no sense",
    "TCPDSACKRecv": "duplicates that a peer reported",
    "TCPOFOQueue": "segments kept out of order",
    "TCPOFODrop": "out-of-order segments dropped for want of room",
    "TCPChallengeACK": "challenge ACKs sent",
    "TCPACKSkippedChallenge": "challenge ACKs that the limit held back",
    "TCPSYNChallenge": "SYNs received on synchronised connections",
    "PAWSActive": "segments dropped by PAWS before the connection was established",
    "PAWSEstab": "segments dropped by PAWS on established connections",
    "TCPOutOfWindow": "segments outside the receive window",
    "TCPRcvPruned": "bytes dropped because they were beyond the announced window",
    "TCPZeroWindowProbes": "zero-window probes sent",
    "TCPKeepAlive": "keep-alive probes sent",
    "DelayedACKs": "ACKs sent by the delayed ACK timer",
    "TW": "connections that went through TIME-WAIT",
    "TWRecycled": "connections in TIME-WAIT replaced by a new SYN",
    "TCPAbortOnData": "connections reset because data came after close",
    "TCPAbortOnClose": "connections reset because of unread data at close",
    "TCPAbortOnTimeout": "connections given up after R2 or the user timeout",
    "TCPAbortOnMemory": "connections given up for want of memory",
}
"""Every counter with its meaning."""


class Counters:
    """The counters of one host, all zero at first."""

    __slots__ = ("_natives", "_values")

    def __init__(self) -> None:
        self._values = dict.fromkeys(COUNTERS, 0)
        self._natives: Callable[[], Mapping[str, int]] = dict

    def include(self, natives: Callable[[], Mapping[str, int]]) -> None:
        """Adds what `natives` tells, to which native code counts, whenever somebody asks."""
        self._natives = natives

    def count(self, name: str, n: int = 1) -> None:
        """Adds n. An unknown name is a programming error: KeyError."""
        self._values[name] += n

    def __getitem__(self, name: str) -> int:
        return self._values[name] + self._natives().get(name, 0)

    def as_dict(self) -> dict[str, int]:
        """A copy with every counter, in the order of COUNTERS."""
        natives = self._natives()
        return {name: value + natives.get(name, 0) for name, value in self._values.items()}

    def non_zero(self) -> dict[str, int]:
        """Only the counters that moved."""
        return {name: value for name, value in self.as_dict().items() if value}
