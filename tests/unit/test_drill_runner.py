"""Scripts run: what passes, and how a difference is told."""

import pytest

from stack.core.host import Host
from stack.sim.drill import ScriptError, packets, parse, run
from stack.sim.drill.report import report, summary

LISTEN = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
"""
ESTABLISHED = (
    LISTEN
    + """\
+.1 < S 0:0(0) win 65535 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+.1 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
"""
)
TIMESTAMPS = (
    LISTEN
    + """\
+.1 < S 0:0(0) win 65535 <mss 1000,sackOK,TS val 100 ecr 0>
+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 10 ecr 100>
+.1 < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 200 ecr 10>
+0 accept(3, ..., ...) = 4
+0 write(4, ..., 100) = 100
"""
)


def failure(text, **options):
    strict = options.pop("strict", False)
    return run(parse(text, options=options), strict=strict).failure


def what(text, **options):
    found = failure(text, **options)
    assert found is not None
    return found.what


def passes(text, **options):
    found = failure(text, **options)
    assert found is None, (found.event.source, found.what, found.details)


# ---- packets -----------------------------------------------------------------------


def test_the_same_script_gives_the_same_events_each_time():
    script = parse(ESTABLISHED + "+0 write(4, ..., 500) = 500\n+0 > P. 1:501(500) ack 1\n")
    assert run(script).seen == run(script).seen


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("+0 > . 1:501(500) ack 1", "flags P. instead of ."),
        ("+0 > P. 2:502(500) ack 1", "seq 1:501(500) instead of 2:502(500)"),
        ("+0 > P. 1:401(400) ack 1", "seq 1:501(500) instead of 1:401(400)"),
        ("+0 > P. 1:501(500) ack 2", "ack 1 instead of 2"),
        ("+0 > P. 1:501(500) ack 1 win 7", "win 65535 instead of 7"),
        ("+0 > P. 1:501(500) ack 1 <nop,nop,sackOK>", "options (none) instead of <nop,nop,sackOK>"),
        ("+0 > [ect0] P. 1:501(500) ack 1", "ecn noecn instead of ect0"),
        ("+0 > (ttl 3) P. 1:501(500) ack 1", "ttl 64 instead of 3"),
        ("+0 > (tos 0x10) P. 1:501(500) ack 1", "tos 0x00 instead of 0x10"),
        ("+0 > 8080 > 9 P. 1:501(500) ack 1", "ports 8080 > 40000 instead of 8080 > 9"),
        ("+0 > udp (500)", "protocol tcp instead of udp"),
        ("+0 > icmp echo_reply", "protocol tcp instead of icmp"),
        ("+.1 > P. 1:501(500) ack 1", "0.100000 s too early"),
    ],
)
def test_every_difference_is_told(line, words):
    assert words in what(ESTABLISHED + "+0 write(4, ..., 500) = 500\n" + line)


def test_a_packet_that_comes_late_is_told_with_its_time():
    text = ESTABLISHED + "+0 write(4, ..., 500) = 500\n+0 > P. 1:501(500) ack 1\n"
    found = failure(text + "+.1 > P. 1:501(500) ack 1\n")
    assert found is not None
    assert "it was sent 0.200000 s too late" in found.what


def test_a_packet_that_never_comes_is_told():
    assert what(ESTABLISHED + "+0 > . 1:1(0) ack 1") == "no packet was sent"


def test_a_failure_shows_both_packets_side_by_side_and_marks_what_differs():
    found = failure(ESTABLISHED + "+0 write(4, ..., 500) = 500\n+0 > P. 1:501(500) ack 7\n")
    assert found is not None
    assert found.event.source == "+0 > P. 1:501(500) ack 7"
    assert "  expected  > P. 1:501(500) ack 7" in found.details
    assert "  actual    > P. 1:501(500) ack 1 win 65535" in found.details
    marked = [line for line in found.details if "≠" in line]
    assert [line.split() for line in marked] == [["≠", "ack", "7", "1"]]


def test_a_report_has_the_line_and_the_trace_that_led_there():
    text = ESTABLISHED + "+0 write(4, ..., 500) = 500\n+0 > P. 1:501(500) ack 7\n"
    outcome = run(parse(text, "x.pkt"))
    lines = "\n".join(report(outcome))
    assert "FAIL  x.pkt:9: the packet differs: ack 1 instead of 7" in lines
    assert "9 | +0 > P. 1:501(500) ack 7" in lines
    assert "[SYN, ACK]" in lines
    assert "↳" in lines
    assert summary([outcome, run(parse(ESTABLISHED))]) == "2 scripts: 1 passed, 1 failed"


def test_what_a_script_leaves_open_does_not_matter():
    passes(ESTABLISHED + "+0 write(4, ..., 500) = 500\n* > P. 1:501(500) ack 1 <...>\n")


def test_options_without_padding_in_the_script_are_compared_without():
    passes(
        LISTEN + "+0 < S 0:0(0) win 9 <mss 1000,sackOK>\n+0 > S. 0:0(0) ack 1 <mss 1460,sackOK>\n"
    )
    assert "options" in what(
        LISTEN + "+0 < S 0:0(0) win 9 <sackOK>\n+0 > S. 0:0(0) ack 1 <mss 1460,nop,sackOK>\n"
    )


def test_a_line_may_stand_for_the_segments_of_one_burst():
    passes(ESTABLISHED + "+0 write(4, ..., 2500) = 2500\n+0 > P. 1:2501(2500) ack 1\n")
    said = what(ESTABLISHED + "+0 write(4, ..., 2500) = 2500\n+0 > P. 1:2001(2000) ack 1\n")
    assert "flags . instead of P." in said


def test_packets_that_no_line_expects_matter_only_where_asked():
    text = ESTABLISHED + "+0 write(4, ..., 500) = 500\n"
    passes(text)
    assert what(text, strict=True) == "the script ends, but the host has sent more"


def test_tolerance_bounds_how_far_off_a_time_may_be():
    text = ESTABLISHED + "+0 write(4, ..., 500) = 500\n+.003 > P. 1:501(500) ack 1\n"
    passes(text)
    assert "too early" in what(text, tolerance_usecs="2000")
    passes(text, tolerance_usecs="0", tolerance_percent="100")


def test_a_range_of_times():
    text = ESTABLISHED + "+0 write(4, ..., 500) = 500\n+0 > P. 1:501(500) ack 1\n"
    passes(text + "+.2~+.4 > P. 1:501(500) ack 1\n")
    assert "too late" in what(text + "+.1~+.2 > P. 1:501(500) ack 1\n")
    assert "too early" in what(text + "+.4~+.5 > P. 1:501(500) ack 1\n")


def test_relative_times_behind_any_time_count_from_what_happened():
    passes(
        ESTABLISHED
        + "+0 write(4, ..., 500) = 500\n+0 > P. 1:501(500) ack 1\n"
        + "* > P. 1:501(500) ack 1\n+.6 > P. 1:501(500) ack 1\n"
    )


def test_timestamps_of_our_host_are_called_as_the_script_likes():
    passes(TIMESTAMPS + "+0 > P. 1:101(100) ack 1 <nop,nop,TS val 4711 ecr 200>\n")


def test_with_a_tick_the_clock_behind_timestamps_is_checked():
    line = "+0 > P. 1:101(100) ack 1 <nop,nop,TS val {} ecr 200>\n"
    passes(TIMESTAMPS + line.format(110), tcp_ts_tick_usecs="1000")
    said = what(TIMESTAMPS + line.format(500), tcp_ts_tick_usecs="1000")
    assert "TS val 110 ecr 200" in said


def test_an_echo_is_what_our_host_sent_under_that_name():
    passes(
        TIMESTAMPS
        + "+0 > P. 1:101(100) ack 1 <nop,nop,TS val 4711 ecr 200>\n"
        + "+.07 < . 1:1(0) ack 101 win 9 <nop,nop,TS val 270 ecr 4711>\n"
        + "+0 %{ assert 90000 < tcpi_rtt < 100000, tcpi_rtt }%\n"
    )


def test_text_that_leaves_in_the_wrong_place_is_told(monkeypatch):
    def damaged(data):
        found = read(data)
        text = found.text
        return (
            found
            if not text
            else packets.Seen(
                found.spec, text[:5] + b"!" + text[6:], found.local, found.remote, found.ports
            )
        )

    read = packets.read
    monkeypatch.setattr(packets, "read", damaged)
    said = what(ESTABLISHED + "+0 write(4, ..., 500) = 500\n+0 > P. 1:501(500) ack 1\n")
    assert said == "the packet differs: byte 5 of the stream is not what was written there"


def test_connections_are_told_apart_by_ports():
    passes(
        LISTEN
        + "+0 < 50001 > 8080 S 0:0(0) win 9\n+0 > 8080 > 50001 S. 0:0(0) ack 1 <...>\n"
        + "+0 < 50002 > 8080 S 0:0(0) win 9\n+0 > S. 0:0(0) ack 1 <...>\n"
    )


def test_a_line_without_ports_means_the_connection_of_the_line_before():
    said = what(
        LISTEN
        + "+0 < 50001 > 8080 S 0:0(0) win 9\n+0 < 50002 > 8080 S 0:0(0) win 9\n"
        + "+0 > S. 0:0(0) ack 1 <...>\n"
    )
    assert "ports 8080 > 50001 instead of 8080 > 50002" in said


def test_events_of_one_instant_can_come_together():
    text = (
        ESTABLISHED
        + "+0 < P. 1:101(100) ack 1 win 99\n+0 < P. 101:201(100) ack 1 win 99\n"
        + "+0 read(4, ..., 500) = 200\n+0 write(4, ..., 10) = 10\n"
        + "+0 > P. 1:11(10) ack 201\n"
    )
    passes("--together\n" + text, strict=True)
    assert "differs" in what(text)


def test_the_peer_can_begin_where_the_script_wants():
    passes("--remote_isn=4294967295\n" + ESTABLISHED)


# ---- calls -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("+0 read(4, ..., 10) = 10", "read blocks: give the time at which it returns"),
        ("+0 close(9) = 0", "close returned -1 EBADF (Bad file descriptor) instead of 0"),
        ("+0 close(9) = -1 EPIPE", "returned -1 EBADF (Bad file descriptor) instead of -1 EPIPE"),
        ("+0 write(4, ..., 10) = 11", "write returned 10 instead of 11"),
        ("+0...0.5 write(4, ..., 10) = 10", "write returned at 0.200000, not at 0.700000"),
        ("+0...0.5 read(4, ..., 10) = 10", "read still blocks; it should return at 0.700000"),
        ("+0 frobnicate(4) = 0", "there is no system call frobnicate: there are accept"),
        ("+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [5], [4]) = 0", "gave [0] instead of [5]"),
        ("+0 setsockopt(4, SOL_SOCKET, SO_FROB, [5], 4) = 0", "not SO_FROB"),
        ("+0 ioctl(4, SIOCINQ, [5]) = 0", "ioctl gave [0] instead of [5]"),
        (
            "+0 poll([{fd=4, events=POLLOUT, revents=POLLIN}], 1, 0) = 1",
            "poll gave POLLOUT for 4 instead of POLLIN",
        ),
        ("+0 socket() = 5", "socket has 0 arguments: give more"),
        (
            "+0 getpeername(4, {sin_port = htons(1)}, [16]) = 0",
            "gave 192.0.2.1 port 40000, not 192.0.2.1 port 1",
        ),
    ],
)
def test_what_a_call_did_instead_is_told(line, words):
    assert words in what(ESTABLISHED + line + "\n+1 %{ pass }%\n")


def test_a_call_that_returns_early_or_late_is_told():
    text = ESTABLISHED + "+0...0.2 read(4, ..., 10) = 10\n"
    passes(text + "+.2 < P. 1:11(10) ack 1 win 9\n")
    assert "returned at 0.300000" in what(text + "+.1 < P. 1:11(10) ack 1 win 9\n")
    found = failure(text + "+.3 < P. 1:11(10) ack 1 win 9\n")
    assert found is not None
    assert found.event.line == 8


def test_several_calls_may_wait_at_once():
    passes(
        LISTEN
        + "+0...0.2 accept(3, ..., ...) = 4\n+0...0.05 poll([{fd=3, events=POLLIN}], 1, 50) = 0\n"
        + "+.1 < S 0:0(0) win 9\n+.1 < . 1:1(0) ack 1 win 9\n"
    )


def test_text_that_is_read_is_compared():
    text = ESTABLISHED + "+0 < P. 1:6(5) ack 1 win 9\n"
    passes(text + "+0 read(4, ..., 9) = 5\n")
    assert "gave" in what(text + '+0 read(4, "hello", 9) = 5\n')


def test_descriptors_have_the_numbers_that_the_script_gives_them():
    passes(LISTEN + "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 17\n+0 close(17) = 0\n")


# ---- Python and commands ------------------------------------------------------------


def test_an_assertion_that_fails_shows_what_its_names_stand_for():
    found = failure(ESTABLISHED + '+0 %{ assert tcpi_snd_cwnd == 3, "wrong" }%\n')
    assert found is not None
    assert found.what == "an assertion failed"
    assert "  tcpi_snd_cwnd = 10" in found.details
    assert "  the assertion says: wrong" in found.details


def test_code_keeps_what_it_defines():
    passes(ESTABLISHED + "+0 %{ a = tcpi_rtt }%\n+1 %{ assert a == tcpi_rtt == 100000 }%\n")


def test_code_that_breaks_is_a_failure():
    assert "ZeroDivisionError" in what(ESTABLISHED + "+0 %{ 1 / 0 }%\n")
    assert "no connection yet" in what(LISTEN + "+0 %{ tcpi_rtt }%\n")


def test_code_sees_the_counters_of_the_host():
    passes(ESTABLISHED + '+0 %{ assert counters["TcpPassiveOpens"] == 1 }%\n')


def test_a_sysctl_in_the_middle_holds_for_later_connections():
    passes(
        LISTEN
        + "+0 < S 0:0(0) win 9 <mss 1000,sackOK>\n+0 > S. 0:0(0) ack 1 <mss 1460,sackOK>\n"
        + "+0 `sysctl -q net.ipv4.tcp_sack=0`\n"
        + "+0 < 5 > 8080 S 0:0(0) win 9 <mss 1000,sackOK>\n+0 > S. 0:0(0) ack 1 <mss 1460>\n"
    )


def test_a_command_that_means_nothing_here_is_noted():
    outcome = run(parse(LISTEN + "+0 `ls`\n+0 `sysctl net.ipv4.tcp_frob=1`\n", "x.pkt"))
    assert outcome.failure is None
    assert outcome.notes == (
        "x.pkt:4: not run, since there is no shell in virtual time: ls",
        "x.pkt:5: sysctl net.ipv4.tcp_frob has no counterpart in this stack",
    )


def test_a_host_that_cannot_be_is_an_error_of_the_script():
    with pytest.raises(ScriptError, match="an MTU of 1040 is too small"):
        run(parse("--mss=1000\n" + LISTEN, "x.pkt"))


def test_a_stack_that_breaks_is_a_failure_with_its_traceback(monkeypatch):
    def broken(*_):
        raise KeyError("nothing here")

    monkeypatch.setattr(Host, "receive", broken)
    found = failure(ESTABLISHED)
    assert found is not None
    assert found.what == "the stack broke: KeyError: 'nothing here'"
    assert found.event.line == 4
    assert any("in broken" in line for line in found.details)
