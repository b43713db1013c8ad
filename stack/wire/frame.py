"""IP packets taken out of the link-layer frames that captures hold."""

NULL = 0
ETHERNET = 1
RAW = 101
LOOP = 108
LINUX_SLL = 113
IPV4 = 228
IPV6 = 229
LINUX_SLL2 = 276
# Captures by old tools name bare IP packets with the number their own system had.
RAW_OLD = (12, 14)

_ETHERTYPE_NAMES = {
    0x0806: "ARP",
    0x8035: "RARP",
    0x8847: "MPLS",
    0x8863: "PPPoE discovery",
    0x8864: "PPPoE",
    0x888E: "EAPOL",
    0x88CC: "LLDP",
}
_VLAN = (0x8100, 0x88A8, 0x9100)


def ip_packet(link_type: int, frame: bytes) -> tuple[bytes, str]:
    """The IP packet of a frame and "", or nothing and a name for what the frame is."""
    if link_type in (RAW, IPV4, IPV6, *RAW_OLD):
        return _bare(frame)
    if link_type in (NULL, LOOP):
        return _bare(frame[4:])
    if link_type == ETHERNET:
        return _ethernet(frame, 12)
    if link_type == LINUX_SLL:
        return _ethernet(frame, 14)
    if link_type == LINUX_SLL2:
        return _by_ethertype(int.from_bytes(frame[:2], "big"), frame[20:])
    return b"", f"link type {link_type}"


def _bare(packet: bytes) -> tuple[bytes, str]:
    if packet and packet[0] >> 4 in (4, 6):
        return packet, ""
    return b"", "not IP"


def _ethernet(frame: bytes, at: int) -> tuple[bytes, str]:
    """Steps over VLAN tags (IEEE 802.1Q) to the type field, which is first looked for at `at`."""
    ethertype = int.from_bytes(frame[at : at + 2], "big")
    while ethertype in _VLAN and at + 6 <= len(frame):
        at += 4
        ethertype = int.from_bytes(frame[at : at + 2], "big")
    return _by_ethertype(ethertype, frame[at + 2 :])


def _by_ethertype(ethertype: int, payload: bytes) -> tuple[bytes, str]:
    if ethertype in (0x0800, 0x86DD):
        return _bare(payload)
    return b"", _ETHERTYPE_NAMES.get(ethertype, f"EtherType 0x{ethertype:04x}")
