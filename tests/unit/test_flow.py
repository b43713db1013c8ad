"""The flow table against a dict."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stack._native import ffi, lib
from stack.wire.address import fill_path, raw

ports = st.sampled_from([0, 1, 80, 0x100, 0xFFFF])
keys = st.tuples(st.integers(0, 3), st.integers(0, 3), ports, ports)


def path_of(key):
    near, far, sport, dport = key
    path = ffi.new("struct path *")
    fill_path(path, 6, bytes(15) + bytes([near]), bytes(15) + bytes([far]), sport, dport)
    return path


def packet_to(path):
    """The packet that the peer at the other end of a path sends."""
    packet = ffi.new("struct packet *")
    packet.src, packet.dst = raw(path.dst), raw(path.src)
    packet.sport, packet.dport = path.dport, path.sport
    return packet


def new_table(key: bytes = bytes(16)):
    return ffi.gc(lib.flow_table_new(key), lib.flow_table_free)


class FlowMachine(RuleBasedStateMachine):
    """Every operation on a flow table and on a dict, which must always agree."""

    @initialize(secret=st.binary(min_size=16, max_size=16))
    def start(self, secret):
        self.table = new_table(secret)
        self.model: dict[tuple[int, int, int, int], int] = {}

    @rule(key=keys, number=st.integers(1, 0xFFFFFFFF))
    def insert(self, key, number):
        assert lib.flow_insert(self.table, path_of(key), number, ffi.NULL) == (
            key not in self.model
        )
        self.model.setdefault(key, number)

    @rule(key=keys)
    def remove(self, key):
        assert lib.flow_remove(self.table, path_of(key)) == (key in self.model)
        self.model.pop(key, None)

    @rule(key=keys)
    def find(self, key):
        path = path_of(key)
        wanted = self.model.get(key, 0)
        assert lib.flow_find_path(self.table, path) == wanted
        assert lib.flow_find(self.table, packet_to(path)) == wanted

    @invariant()
    def counts_agree(self):
        assert lib.flow_count(self.table) == len(self.model)


TestFlow = FlowMachine.TestCase
TestFlow.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@given(st.binary(min_size=16, max_size=16))
@settings(max_examples=10, deadline=None)
def test_growth_loses_no_flow_whatever_the_secret(secret):
    table = new_table(secret)
    paths = [path_of((n & 3, n >> 14 & 3, n, 80)) for n in range(1000)]
    for number, path in enumerate(paths, 1):
        assert lib.flow_insert(table, path, number, ffi.NULL)
    for path in paths[::3]:
        assert lib.flow_remove(table, path)
    for number, path in enumerate(paths, 1):
        assert lib.flow_find_path(table, path) == (0 if number % 3 == 1 else number)


def test_zero_is_no_flow():
    table = new_table()
    assert lib.flow_insert(table, path_of((0, 0, 1, 2)), 0, ffi.NULL) == 0
    assert lib.flow_count(table) == 0
