"""The names that scripts have for ICMP types and codes (RFC 792, RFC 1122, RFC 1812, RFC 4443)."""

import re
from collections.abc import Mapping
from typing import NamedTuple

_UNREACHABLE4 = {
    "net_unreachable": 0,
    "host_unreachable": 1,
    "protocol_unreachable": 2,
    "port_unreachable": 3,
    "frag_needed": 4,
    "source_route_failed": 5,
    "net_unknown": 6,
    "host_unknown": 7,
    "source_host_isolated": 8,
    "net_prohibited": 9,
    "host_prohibited": 10,
    "net_unreachable_for_tos": 11,
    "host_unreachable_for_tos": 12,
    "packet_filtered": 13,
    "precedence_violation": 14,
    "precedence_cutoff": 15,
}

_UNREACHABLE6 = {
    "no_route": 0,
    "net_unreachable": 0,
    "admin_prohibited": 1,
    "packet_filtered": 1,
    "beyond_scope": 2,
    "address_unreachable": 3,
    "host_unreachable": 3,
    "port_unreachable": 4,
    "policy_fail": 5,
    "reject_route": 6,
}

_EXCEEDED = {"ttl": 0, "hop_limit": 0, "fragment_reassembly": 1}


class _Type(NamedTuple):
    number: int
    codes: Mapping[str, int] = {}


_TYPES: dict[int, dict[str, _Type]] = {
    4: {
        "echo_reply": _Type(0),
        "unreachable": _Type(3, _UNREACHABLE4),
        "source_quench": _Type(4),
        "redirect": _Type(5, {"net": 0, "host": 1, "tos_net": 2, "tos_host": 3}),
        "echo_request": _Type(8),
        "time_exceeded": _Type(11, _EXCEEDED),
        "parameter_problem": _Type(12, {"pointer": 0, "missing_option": 1, "bad_length": 2}),
        "timestamp_request": _Type(13),
        "timestamp_reply": _Type(14),
        "information_request": _Type(15),
        "information_reply": _Type(16),
        "address_mask_request": _Type(17),
        "address_mask_reply": _Type(18),
    },
    6: {
        "unreachable": _Type(1, _UNREACHABLE6),
        "packet_too_big": _Type(2),
        "time_exceeded": _Type(3, _EXCEEDED),
        "parameter_problem": _Type(
            4, {"header_field": 0, "unknown_next_header": 1, "unknown_option": 2}
        ),
        "echo_request": _Type(128),
        "echo_reply": _Type(129),
    },
}


def type_of(version: int, name: str) -> int | None:
    """The number of a type called `name`, or written as type_N."""
    known = _TYPES[version].get(name)
    return _numbered("type", name) if known is None else known.number


def code_of(version: int, type_name: str, name: str) -> int | None:
    """The number of a code called `name` of that type, or written as code_N."""
    known = _TYPES[version].get(type_name)
    codes = known.codes if known else {}
    return codes[name] if name in codes else _numbered("code", name)


def _numbered(prefix: str, name: str) -> int | None:
    match = re.fullmatch(rf"{prefix}_(\d{{1,3}})", name)
    return int(match[1]) if match and int(match[1]) < 256 else None


def type_names(version: int) -> list[str]:
    """Every name that a type has."""
    return list(_TYPES[version])


def code_names(version: int, type_name: str) -> list[str]:
    """Every name that a code of this type has."""
    known = _TYPES[version].get(type_name)
    return list(known.codes) if known else []


def spelled(version: int, icmp_type: int, code: int) -> str:
    """Type and code as a script writes them; code 0 of a type without names is left out."""
    for name, known in _TYPES[version].items():
        if known.number == icmp_type:
            for code_name, number in known.codes.items():
                if number == code:
                    return f"{name} {code_name}"
            return name if code == 0 else f"{name} code_{code}"
    return f"type_{icmp_type} code_{code}"
