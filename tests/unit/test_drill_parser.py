"""Scripts of packetdrill's language, read: what is understood, and what is said of the rest."""

import pytest

from stack.errors import UsageError
from stack.sim.drill import ScriptError, parse
from stack.sim.drill.lexer import Kind, tokens
from stack.sim.drill.option_names import ACCECN_0, ACCECN_1
from stack.sim.drill.script import (
    Array,
    Call,
    Clock,
    Code,
    Either,
    Expect,
    Inject,
    Name,
    Number,
    OptionSpec,
    Struct,
    Text,
)
from stack.wire.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG

SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


def event(text, **options):
    events = parse(text, options=options).events
    assert len(events) == 1
    return events[0]


def packet(text, **options):
    return event(f"0 {text}", **options).action.packet


def call(text):
    action = event(f"0 {text}").action
    assert isinstance(action, Call)
    return action


def complaint(text, **options):
    with pytest.raises(ScriptError) as error:
        parse(text, "x.pkt", options)
    return str(error.value)


def test_comments_of_both_kinds_are_skipped():
    script = parse("// one\n/* two\n three */ 0 /* four */ < . 1:1(0) ack 1 win 5 // five\n")
    assert [one.line for one in script.events] == [3]


def test_tokens_know_their_line():
    found = [(token.text, token.line) for token in tokens('a\n"b\nc" d', "x")]
    assert found == [("a", 1), ("b\nc", 2), ("d", 3), ("", 3)]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("0.1...0.2", [Kind.FLOAT, Kind.ELLIPSIS, Kind.FLOAT]),
        ("0...1", [Kind.INTEGER, Kind.ELLIPSIS, Kind.INTEGER]),
        ("+.5", [Kind.SIGN, Kind.FLOAT]),
        ("192.0.2.1", [Kind.IPV4]),
        ("2001:db8::1", [Kind.IPV6]),
        (
            "1:1001(1000)",
            [Kind.INTEGER, Kind.SIGN, Kind.INTEGER, Kind.SIGN, Kind.INTEGER, Kind.SIGN],
        ),
        ("0011aabb", [Kind.WORD]),
        ("-1", [Kind.INTEGER]),
        ("%{ a }%", [Kind.CODE]),
        ("`ls`", [Kind.COMMAND]),
    ],
)
def test_tokens(text, kinds):
    assert [token.kind for token in tokens(text, "x")][:-1] == kinds


# ---- times -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clock", "earliest", "latest"),
    [
        ("0", Clock.ABSOLUTE, 0, None),
        ("1.5", Clock.ABSOLUTE, 1_500_000, None),
        ("*", Clock.ANY, 0, None),
        ("0.1~0.25", Clock.ABSOLUTE, 100_000, 250_000),
    ],
)
def test_times(text, clock, earliest, latest):
    when = event(f"{text} > . 1:1(0) ack 1").when
    assert (when.clock, when.earliest, when.latest) == (clock, earliest, latest)


def test_relative_times_follow_the_event_before():
    events = parse("0 > . 1:1(0)\n+.1 > . 1:1(0)\n+0~+.2 > . 1:1(0)\n").events
    assert [one.when.clock for one in events[1:]] == [Clock.RELATIVE, Clock.RELATIVE]
    assert (events[2].when.earliest, events[2].when.latest) == (0, 200_000)


def test_a_microsecond_is_kept():
    assert event("0.000001 > . 1:1(0)").when.earliest == 1


def test_a_blocking_call_has_an_end():
    when = event("0.1...0.3 accept(3, ..., ...) = 4").when
    assert (when.earliest, when.until) == (100_000, 300_000)


# ---- packets -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letters", "flags"),
    [
        ("S", SYN),
        ("S.", SYN | ACK),
        (".", ACK),
        ("P.", PSH | ACK),
        ("FP.", FIN | PSH | ACK),
        (".P", PSH | ACK),
        ("R", RST),
        ("U.", URG | ACK),
        ("SEW", SYN | ECE | CWR),
        ("SEWA", SYN | ECE | CWR | AE),
        (".5", ACK | AE | ECE),
        ("P.2", PSH | ACK | CWR),
        ("-", 0),
    ],
)
def test_flags(letters, flags):
    assert packet(f"> {letters} 1:1(0) ack 1").flags == flags


def test_numbers_of_a_segment():
    spec = packet("< P. 1:1001(1000) ack 5 win 77 urg 3")
    assert (spec.seq, spec.length, spec.ack, spec.window, spec.urgent) == (1, 1000, 5, 77, 3)


def test_sequence_numbers_wrap():
    assert packet("> . 4294967295:99(100) ack 1").seq == 0xFFFF_FFFF


def test_ports_of_a_segment():
    assert packet("> 8080 > 5000 S. 0:0(0) ack 1").ports == (8080, 5000)


def test_options_in_their_order():
    spec = packet("< S 0:0(0) win 5 <mss 1460,sackOK,TS val 10 ecr 0,nop,wscale 7,eol>")
    assert spec.options == (
        OptionSpec(2, (1460,)),
        OptionSpec(4),
        OptionSpec(8, (10, 0)),
        OptionSpec(1),
        OptionSpec(3, (7,)),
        OptionSpec(0),
    )


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("sack 1:2 3:4", OptionSpec(5, (1, 2, 3, 4))),
        ("FO", OptionSpec(34)),
        ("FO a1b2c3d4", OptionSpec(34, (), bytes.fromhex("a1b2c3d4"))),
        ("FO 0011223344556677", OptionSpec(34, (), bytes.fromhex("0011223344556677"))),
        ("FOEXP abcd", OptionSpec(254, (), b"\xf9\x89\xab\xcd")),
        ("kind 253 f00d", OptionSpec(253, (), b"\xf0\x0d")),
        ("kind 77", OptionSpec(77)),
        ("md5 00ff", OptionSpec(19, (), b"\x00\xff")),
        ("uto 300", OptionSpec(28, (300,))),
        ("raw 0200", OptionSpec(-1, (), b"\x02\x00")),
        ("ECN e1b 1 ceb 0 e0b 1", OptionSpec(ACCECN_1, (1, 0, 1))),
        ("ECN e0b 1 ceb 0", OptionSpec(ACCECN_0, (1, 0))),
    ],
)
def test_options(text, option):
    assert packet(f"> . 1:1(0) ack 1 <{text}>").options == (option,)


def test_any_options_and_none():
    assert packet("> . 1:1(0) ack 1 <...>").options is None
    assert packet("> . 1:1(0) ack 1").options == ()


@pytest.mark.parametrize(
    ("text", "values"),
    [("noecn", {0}), ("ect1", {1}), ("ect0", {2}), ("ect01", {1, 2}), ("ce", {3})],
)
def test_codepoints_of_ecn(text, values):
    assert packet(f"> [{text}] . 1:1(0) ack 1").ip.ecn == values


def test_words_for_the_ip_header():
    ip = packet("> (tos 0x10, ttl 3) . 1:1(0) ack 1").ip
    assert (ip.tos, ip.ttl) == (16, 3)
    assert packet("< [badsum] . 1:1(0) ack 1 win 1").ip.bad_checksum


def test_udp():
    spec = packet("< udp 5000 > 53 (100)")
    assert (spec.length, spec.ports) == (100, (5000, 53))


def test_icmp():
    spec = packet("< icmp unreachable frag_needed mtu 1200 [1:1461(1460)]")
    assert (spec.type, spec.code, spec.mtu, spec.quoted) == (3, 4, 1200, "tcp")
    assert (spec.seq, spec.length) == (1, 1460)


def test_icmp_by_number():
    spec = packet("< icmp type_250 code_7")
    assert (spec.type, spec.code) == (250, 7)


def test_icmp_of_ipv6_has_its_own_numbers():
    spec = packet("< icmp packet_too_big mtu 1300 [udp (100)]", ip_version="ipv6")
    assert (spec.type, spec.mtu, spec.quoted, spec.length) == (2, 1300, "udp", 100)


# ---- calls -------------------------------------------------------------------------


def test_a_call():
    found = call("connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)")
    assert (found.name, found.result, found.errno) == ("connect", Number(-1), "EINPROGRESS")


def test_a_call_with_a_note():
    assert call("fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)").result == Number(2)


def test_flags_are_joined():
    assert call("socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0) = 3").arguments[1] == Either(
        (Name("SOCK_STREAM"), Name("SOCK_NONBLOCK"))
    )


def test_a_string():
    assert call('write(4, "a\\n", 2) = 2').arguments[1] == Text("a\n")


def test_an_address():
    given = call(
        'bind(3, {sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("1.2.3.4")},'
        " 16) = 0"
    ).arguments[1]
    assert isinstance(given, Struct)
    assert given.get("sa_family") == Name("AF_INET")


def test_structures():
    found = call("poll([{fd=4, events=POLLIN, revents=POLLIN|POLLOUT}], 1, 100) = 1")
    assert isinstance(found.arguments[0], Array)
    message = call("recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 9}], msg_flags=0}, 0) = 9")
    given = message.arguments[1]
    assert isinstance(given, Struct)
    assert isinstance(given.get("msg_iov"), Array)


def test_code():
    action = event("0 %{ assert 1 == 1 }%").action
    assert isinstance(action, Code)


# ---- options at the top --------------------------------------------------------------


def test_options_at_the_top():
    settings = parse(
        "--ip_version=ipv6\n--tolerance_usecs=10\n--mtu=1400\n--set=sack=false\n" + SOCKET
    ).settings
    assert settings.version == 6
    assert settings.tolerance == 10
    assert settings.link_mtu == 1400
    assert not settings.host.tcp.sack


def test_options_given_later_win():
    assert parse("--mtu=1400\n" + SOCKET, options={"mtu": "1300"}).settings.link_mtu == 1300


def test_an_mss_asks_for_the_mtu_that_carries_it():
    assert parse("--mss=1400\n" + SOCKET).settings.link_mtu == 1440
    assert parse("--mss=1400\n--ip_version=ipv6\n" + SOCKET).settings.link_mtu == 1460


def test_options_of_a_real_kernel_change_nothing():
    parse("--speed=100\n--gateway_ip=192.0.2.1\n--wire_client_dev=eth0\n--non_fatal=x\n" + SOCKET)


def test_sysctl_sets_the_host_up():
    settings = parse(
        "`sysctl -q net.ipv4.tcp_sack=0; sysctl -w net.ipv4.tcp_rmem='4096 9999 99999'`\n" + SOCKET
    ).settings
    assert not settings.host.tcp.sack
    assert settings.host.tcp.receive_buffer == 9999


def test_other_shell_commands_are_left_out_and_noted():
    script = parse("`../common/defaults.sh`\n" + SOCKET + "`rm -r x`\n", "x.pkt")
    assert len(script.events) == 1
    note = "not run, since there is no shell in virtual time: ../common/defaults.sh"
    assert script.notes == (f"x.pkt:1: {note}",)


def test_definitions_stand_for_their_value_anywhere():
    text = "--define=SIZE=100\n--define=END=101\n0 < P. 1:END(SIZE) ack 1 win SIZE\n"
    spec = parse(text).events[0].action.packet
    assert (spec.length, spec.window) == (100, 100)


def test_definitions_given_later_win():
    text = "--define=SIZE=100\n0 < . 1:1(0) ack 1 win SIZE\n"
    assert parse(text, definitions={"SIZE": "7"}).events[0].action.packet.window == 7


# ---- what is wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "no events"),
        ("foo", 1, "a time should be"),
        ("\n\n+x socket() = 3", 3, "a time should be"),
        ("-1 > . 1:1(0)", 1, "time does not run backwards"),
        ("0 < S 0:0(0)", 1, "add `win N`"),
        ("0 < . 1:1(0) win 5", 1, "add `ack N`"),
        ("0 < S 0:0(0) win 5 <...>", 1, "name the options"),
        ("0 < S 0:0(0) win 5 <frob 1>", 1, "write `kind N HEX`"),
        ("0 < S 0:0(0) win 5 <mss 99999>", 1, "0 to 65535"),
        ("0 < S 0:0(0) win 5 <mss 1", 1, "needs `>`"),
        ("0 < S 0:0(0) win 5 <sack>", 1, "sack LEFT:RIGHT"),
        ("0 < S 0:0(0) win 5 <FO abc>", 1, "even number of hexadecimal digits"),
        ("0 < S 0:0(0) win 5 <ECN ceb 1>", 1, "put them in order"),
        ("0 < . 1:1(0) ack 1 win 5 <kind 9 " + "00" * 40 + ">", 1, "more than 40 bytes"),
        ("0 > Q 0:0(0)", 1, "is no flag"),
        ("0 > . 1:100(50)", 1, "the end is not 50 behind"),
        ("0 > [xyz] . 1:1(0)", 1, "no word for the IP header"),
        ("0 > gre: . 1:1(0)", 1, "tunnels are not supported"),
        ("0 < icmp frob", 1, "there are echo_reply"),
        ("0 < icmp unreachable frob", 1, "there are net_unreachable"),
        ("0 < icmp packet_too_big mtu 9", 1, "no ICMP type of IPv4"),
        ("0.2~0.1 > . 1:1(0)", 1, "the range ends before it begins"),
        ("0~1 < . 1:1(0) ack 1 win 1", 1, "only a packet that is expected"),
        ("0.5...0.1 accept(3, ..., ...) = 4", 1, "the call ends before it begins"),
        ("0 accept(3, ..., ...)", 1, "write `= 0`"),
        ("0 accept(3 4) = 1", 1, "needs `,`"),
        ("0 close(3) = 0 EBADF", 1, "write `= -1 EBADF`"),
        ("0 close(3) = -1 EBADF (oh", 1, "add a `)`"),
        ("0 %{ assert 1 +", 1, "add a `}%`"),
        ("0 %{ assert 1 + }%", 1, "in the Python code"),
        ('0 write(3, "abc, 3) = 3', 1, 'add a `"`'),
        ("/* never", 1, "add a `*/`"),
        ("--frob=1\n" + SOCKET, 1, "there is no option --frob"),
        ("--mtu=big\n" + SOCKET, 1, "give a number"),
        ("--mtu\n" + SOCKET, 1, "write --mtu=VALUE"),
        ("--ip_version=5\n" + SOCKET, 1, "take one of ipv4"),
        ("--local_ip=x\n" + SOCKET, 1, "that is no IP address"),
        ("--set=frob=1\n" + SOCKET, 1, "there is no setting 'frob'"),
        ("--set=sack=maybe\n" + SOCKET, 1, "give true or false"),
        ("--set=r2=x\n" + SOCKET, 1, "give a whole number"),
        ("--define=3x=1\n" + SOCKET, 1, "write NAME=VALUE"),
        ("\n`sysctl net.ipv4.tcp_ecn=9`\n" + SOCKET, 2, "take one of 0"),
        (SOCKET + "`true`\n0 close(3) = 0", 3, "begins with its time"),
    ],
)
def test_a_script_that_cannot_be_read_is_told_with_line_and_mend(text, line, words):
    said = complaint(text)
    assert said.startswith(f"x.pkt:{line}: ")
    assert words in said


def test_a_file_that_is_not_there_is_told():
    from pathlib import Path

    from stack.sim.drill import load

    with pytest.raises(UsageError, match="cannot read /no/such"):
        load(Path("/no/such.pkt"))


def test_a_file_that_is_no_text_is_told(tmp_path):
    from stack.sim.drill import load

    path = tmp_path / "x.pkt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        load(path)


def test_directions():
    events = parse("0 < . 1:1(0) ack 1 win 1\n0 > . 1:1(0) ack 1\n").events
    assert [type(one.action) for one in events] == [Inject, Expect]
