"""IPv4 options for property tests: any bytes, and such as are nearly routes and timestamps."""

from hypothesis import strategies as st

_LONGEST = 40

_nearly = st.builds(
    lambda kind, length, pointer, rest: bytes((kind, length, pointer)) + rest,
    st.sampled_from([7, 68, 131, 137]),
    st.integers(0, _LONGEST),
    st.integers(0, _LONGEST + 4),
    st.binary(max_size=_LONGEST - 3),
)
_routes = st.builds(
    lambda kind, hops, more: bytes((kind, 3 + 4 * hops, 4 + 4 * hops)) + more[: 4 * hops],
    st.sampled_from([7, 131, 137]),
    st.integers(0, 9),
    st.binary(min_size=36, max_size=36),
)
ip_options = (
    st.one_of(st.binary(max_size=_LONGEST), _nearly, _routes, st.tuples(_nearly, _routes))
    .map(lambda found: b"".join(found) if isinstance(found, tuple) else found)
    .map(lambda found: found[:_LONGEST])
)
