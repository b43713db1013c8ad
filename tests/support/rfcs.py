"""The RFCs of a modern TCP and of the Internet layer below it, with the sections of each that
ask something of a host. RFC 9293 has its own list, in `requirements`.
"""

# Number, title, and the places as the markers of the tests name them.
RFCS: tuple[tuple[str, str, str], ...] = (
    ("768", "UDP", "fields; length; checksum; source port; user interface"),
    ("791", "Internet Protocol", "3.1; 3.2"),
    (
        "792",
        "ICMP",
        (
            "Destination Unreachable; Time Exceeded; Parameter Problem; Source Quench; Redirect; "
            "Echo; Timestamp; Information Request"
        ),
    ),
    ("815", "Reassembly", "3"),
    (
        "1122",
        "Requirements for hosts",
        (
            "3.2.1.1; 3.2.1.2; 3.2.1.3; 3.2.1.4; 3.2.1.5; 3.2.1.6; 3.2.1.7; 3.2.1.8; 3.2.2; 3.2.2.1; "
            "3.2.2.2; 3.2.2.4; 3.2.2.5; 3.2.2.6; 3.2.2.7; 3.2.2.8; 3.2.2.9; 3.3.2; 3.3.3; 3.3.4.2; "
            "3.3.5; 3.3.6; 4.1.3.1; 4.1.3.2; 4.1.3.3; 4.1.3.4; 4.1.3.5; 4.1.3.6; 4.1.4"
        ),
    ),
    ("1191", "Path MTU discovery", "2; 3; 5; 6.3; 6.4; 7.1"),
    ("1337", "TIME-WAIT assassination", "3; H1; H2; H3"),
    ("2018", "Selective acknowledgement", "2; 3; 4; 5; 8"),
    (
        "2525",
        "Known TCP implementation problems",
        "; ".join(f"2.{number}" for number in range(1, 19)),
    ),
    ("2883", "D-SACK", "4; 4.1.1; 4.1.2; 4.2.1; 4.2.2; 5"),
    ("3042", "Limited transmit", "2"),
    (
        "3168",
        "ECN",
        "5; 5.3; 6.1.1; 6.1.1.1; 6.1.2; 6.1.3; 6.1.4; 6.1.5; 6.1.6",
    ),
    ("3522", "Eifel detection", "3.2"),
    ("4015", "Eifel response", "3.2"),
    (
        "4443",
        "ICMPv6",
        (
            "2.1; 2.2; 2.3; 2.4(a); 2.4(b); 2.4(c); 2.4(d); 2.4(e.1); 2.4(e.2); 2.4(e.3); 2.4(e.6); "
            "2.4(f); 3.1; 3.3; 3.4; 4.2"
        ),
    ),
    (
        "4821",
        "Packetization layer path MTU discovery",
        "5.2; 7.2; 7.3; 7.4; 7.6.1; 7.6.2; 7.6.4; 7.7",
    ),
    ("4987", "SYN flooding", "3.2; 3.6"),
    ("5461", "Soft errors", "2.1; 2.2; 4.1"),
    ("5482", "User timeout option", "3; 3.1; 3.2; 3.3; 3.4"),
    ("5681", "Congestion control", "2; 3.1; 3.2; 4.1; 4.2"),
    ("5682", "F-RTO", "2.1; 3.1"),
    ("5722", "Overlapping IPv6 fragments", "4"),
    (
        "5927",
        "ICMP attacks",
        "4.1; 4.2; 5.2; 6.2; 7.2; 7.3.1; 7.3.2; 7.3.3; 7.3.4; 7.3.5",
    ),
    ("5961", "Blind in-window attacks", "3.2; 4.2; 5.2; 7"),
    ("6056", "Port randomisation", "3.2; 3.3.1; 3.3.3"),
    ("6191", "Shorter TIME-WAIT by timestamps", "2"),
    (
        "6298",
        "Retransmission timer",
        "2.1; 2.2; 2.3; 2.4; 2.5; 3; 5.1; 5.2; 5.3; 5.4; 5.5; 5.6; 5.7",
    ),
    ("6528", "Initial sequence numbers", "3"),
    ("6582", "NewReno", "3.2; 4.1"),
    ("6633", "Source quench deprecated", "3; 5"),
    ("6675", "Loss recovery by SACK", "4; 5"),
    ("6724", "Choice of the source address", "2.1; 5"),
    ("6864", "IPv4 identification", "4; 4.1; 4.3"),
    ("6928", "Initial window of ten segments", "2"),
    ("6946", "IPv6 atomic fragments", "4"),
    ("7323", "Window scale and timestamps", "2.2; 2.3; 2.4; 3.2; 4.1; 4.3; 5.2; 5.3; 5.4; 5.5"),
    ("7413", "TCP Fast Open", "3.1; 4.1.2; 4.1.3; 4.1.3.1; 4.2.1; 4.2.2; 5.1; 7.1"),
    ("7661", "Window validation", "4.2; 4.3; 4.4; 4.4.1; 4.4.3"),
    ("8021", "Atomic fragments are not made", "4"),
    ("8200", "IPv6", "3; 4; 4.1; 4.2; 4.3; 4.4; 4.5; 4.7; 5; 8.1; 8.4"),
    ("8201", "Path MTU discovery for IPv6", "4; 5.3; 5.4"),
    ("8511", "ABE", "3.1"),
    ("8899", "Datagram path MTU discovery", "4.3"),
    ("8961", "Time-based loss detection", "4(1); 4(2); 4(3); 4(4)"),
    ("8985", "RACK-TLP", "6.2; 6.3; 7.2; 7.3; 7.4"),
    ("9040", "Shared control block data", "6.1; 6.2; 7.2; 8"),
    ("9406", "HyStart++", "4.2"),
    ("9438", "CUBIC", "4.2; 4.3; 4.4; 4.5; 4.6; 4.7; 4.8; 4.9"),
    (
        "9768",
        "Accurate ECN",
        "3.1.1; 3.1.2; 3.1.3; 3.1.4.1; 3.1.5; 3.2; 3.2.2.1; 3.2.2.2; 3.2.2.3; 3.2.2.5.1",
    ),
    ("9937", "Proportional rate reduction", "6; 6.2"),
    (
        "draft-ietf-ccwg-bbr",
        "BBR",
        (
            "4.1.1.2; 4.1.2.3; 5.3.1.1; 5.3.1.2; 5.3.1.3; 5.3.2; 5.3.3; 5.3.4; 5.4.1; 5.5.9; 5.5.10; "
            "5.6.1; 5.6.2; 5.6.3; 5.6.4.4"
        ),
    ),
)
