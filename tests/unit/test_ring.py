"""The byte ring against a plain model of it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stack._native import ffi, lib

offsets = st.integers(0, 6000)
sizes = st.one_of(st.integers(0, 40), st.integers(0, 6000))


class RingMachine(RuleBasedStateMachine):
    """Every operation on a ring and on a bytearray, which must always agree."""

    @initialize(limit=st.sampled_from([0, 1, 1000, 2048, 5000, 200_000]))
    def start(self, limit):
        self.limit = limit
        ring = ffi.new("struct ring *")
        lib.ring_init(ring, limit)
        self.ring = ffi.gc(ring, lib.ring_free)
        self.queue = bytearray()
        self.ahead: dict[int, int] = {}  # offset from the head: byte
        self.turn = 0

    def pattern(self, n: int) -> bytes:
        self.turn += 1
        return bytes((self.turn * 37 + i * 11) & 0xFF for i in range(n))

    @rule(n=sizes)
    def write(self, n):
        data = self.pattern(n)
        taken = lib.ring_write(self.ring, data, n)
        assert taken == min(n, self.limit - len(self.queue))
        start = len(self.queue)
        self.queue += data[:taken]
        for offset in range(start, start + taken):
            self.ahead.pop(offset, None)

    @rule(gap=offsets, n=sizes)
    def write_ahead(self, gap, n):
        offset = len(self.queue) + gap
        data = self.pattern(n)
        taken = lib.ring_write_at(self.ring, offset, data, n)
        assert taken == (n if offset + n <= self.limit else 0)
        for i in range(taken):
            self.ahead[offset + i] = data[i]

    @rule()
    def commit(self):
        n = 0
        while len(self.queue) in self.ahead:
            self.queue.append(self.ahead.pop(len(self.queue)))
            n += 1
        assert lib.ring_commit(self.ring, n) == n

    @rule()
    def commit_too_much(self):
        n = self.ring.ahead - self.ring.length + 1
        assert lib.ring_commit(self.ring, n) == 0

    @rule(offset=offsets, n=sizes)
    def peek(self, offset, n):
        room = ffi.new("uint8_t[]", n + 1)
        count = lib.ring_peek(self.ring, offset, room, n)
        assert ffi.buffer(room, count)[:] == self.queue[offset : offset + n]

    @rule(offset=offsets, n=sizes)
    def spans(self, offset, n):
        out = ffi.new("struct span[]", 2)
        count = lib.ring_spans(self.ring, offset, n, out)
        got = b"".join(ffi.buffer(out[i].data, out[i].length)[:] for i in range(count))
        whole = offset + n <= len(self.queue)
        assert got == (self.queue[offset : offset + n] if whole else b"")

    def drop(self, n):
        del self.queue[:n]
        self.ahead = {offset - n: byte for offset, byte in self.ahead.items()}

    @rule(n=sizes)
    def read(self, n):
        room = ffi.new("uint8_t[]", n + 1)
        count = lib.ring_read(self.ring, room, n)
        assert ffi.buffer(room, count)[:] == self.queue[:n]
        self.drop(count)

    @rule(n=sizes)
    def consume(self, n):
        count = lib.ring_consume(self.ring, n)
        assert count == min(n, len(self.queue))
        self.drop(count)

    @invariant()
    def lengths_agree(self):
        ring = self.ring
        assert ring.length == len(self.queue)
        assert ring.length <= ring.ahead <= min(ring.limit, ring.capacity)
        assert ring.capacity & (ring.capacity - 1) == 0


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
