"""Usage errors, options and help of the command line."""

import pytest

from stack.cli.application import AppSource
from stack.cli.main import main
from stack.cli.options import (
    Parser,
    add_server_options,
    add_watch_options,
    read_server_options,
    read_watch_options,
)
from stack.errors import UsageError

COMMANDS = ("run", "serve", "fetch", "trace", "doctor")


def parse(*arguments):
    parser = Parser(prog="test")
    add_server_options(parser)
    add_watch_options(parser)
    return parser.parse_args(arguments)


def server(*arguments):
    return read_server_options(parse(*arguments))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required"),
        (["fly"], "invalid choice"),
        (["run"], "give a command to run, such as `tunstack run -- bash`"),
        (["run", "--"], "give a command to run"),
        (["run", "--frobnicate", "--", "true"], "--frobnicate"),
        (["run", "--http", "0", "--", "true"], "'0' is no port"),
        (["run", "--http", "65536", "--", "true"], "from 1 to 65535"),
        (["run", "--busy-poll", "1s", "--", "true"], "give µs from 0 to 10000"),
        (["run", "--https", "http", "--", "true"], "'http' is no port"),
        (["run", "--http", "80", "--https", "80", "--", "true"], "only once"),
        (["run", "--address", "192.0.2.2", "--", "true"], "192.0.2.2/24"),
        (["run", "--address", "192.0.2.2/32", "--", "true"], "no address left"),
        (["run", "--address", "192.0.2.2/24", "--address", "192.0.2.2/24", "--", "true"], "once"),
        (["run", "--trace", "--quiet", "--", "true"], "contradict"),
        (["run", "--seed", "x", "--", "true"], "--seed"),
        (["run", "--impair", "loss=200%", "--", "true"], "--impair 'loss=200%'"),
        (["run", "--capture", "/no/such/folder/x.pcapng", "--", "true"], "/no/such/folder"),
        (["run", "curl", "-k", "https://192.0.2.2/"], "-k"),
        (["serve", "extra"], "extra"),
        (["serve", "--workers", "0"], "--workers '0': give a number from 1 to 128"),
        (["serve", "--workers", "129"], "from 1 to 128"),
        (["serve", "--workers", "-2"], "--workers"),
        (["run", "--workers", "two", "--", "true"], "--workers 'two'"),
        (["serve", "--workers", "2", "--trace"], "--trace watches one process"),
        (["serve", "--workers", "2", "--capture", "x.pcapng"], "leave --workers out"),
        (["run", "--workers", "2", "--record", "x.rec", "--", "true"], "--record watches one"),
        (["serve", "--", "true"], "only `tunstack run` takes one"),
        (["serve", "--app", "nonsense"], "MODULE:ATTR"),
        (["serve", "--app", "no_such_module:app"], "cannot import no_such_module"),
        (["fetch"], "URL"),
        (["fetch", "ftp://192.0.2.2/"], "http:// or https://"),
        (["fetch", "http:///"], "names no host"),
        (["fetch", "http://192.0.2.2:99999/"], "Port out of range"),
        (["fetch", "--http1.1", "--http2", "http://192.0.2.2/"], "not allowed with"),
        (["fetch", "-o", "/no/such/folder/page", "http://192.0.2.2/"], "/no/such/folder/page"),
        (["trace"], "FILE"),
        (["trace", "/no/such/file.pcapng"], "/no/such/file.pcapng"),
    ],
)
def test_wrong_input_gets_one_clear_line_and_status_2(arguments, words, capsys):
    assert main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("tunstack: ")
    assert error.count("\n") == 1
    assert words in error


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"tunstack {command}" in text


def test_the_overall_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command} " in text


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("tunstack ")


def test_default_ports_and_addresses_are_those_of_the_guides():
    options = server()
    assert options.http_ports == (80, 8080)
    assert options.https_ports == (443, 8443)
    assert [str(address) for address in options.addresses] == ["192.0.2.2/24", "2001:db8::2/64"]
    assert options.app == "stack.http.demo:app"


def test_given_ports_push_default_ones_of_the_other_protocol_aside():
    options = server("--http", "443", "--http", "81")
    assert options.http_ports == (443, 81)
    assert options.https_ports == (8443,)
    options = server("--https", "8080")
    assert options.http_ports == (80,)
    assert options.https_ports == (8080,)


def test_given_addresses_replace_all_default_ones():
    (address,) = server("--address", "198.51.100.9/24").addresses
    assert str(address) == "198.51.100.9/24"


def test_a_seed_repeats_the_random_bytes_and_none_does_not():
    def first(*arguments):
        return read_watch_options(parse(*arguments)).random_bytes()(16)

    assert first("--seed", "7") == first("--seed", "7")
    assert first("--seed", "7") != first("--seed", "8")
    assert first() != first()


def test_impairments_are_off_unless_asked_for():
    assert read_watch_options(parse()).impairments is None
    impairments = read_watch_options(parse("--impair", "in:loss=2%")).impairments
    assert impairments.inbound.loss == 0.02
    assert impairments.outbound.loss == 0


def test_an_app_is_found_by_module_and_attribute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found_here.py").write_text(
        "class Site:\n    async def app(self, scope, receive, send): ...\nsite = Site()\n"
    )
    assert callable(AppSource("found_here:site.app").load())


@pytest.mark.parametrize(
    ("content", "reference", "words"),
    [
        ("", "broken_one:app", "has no attribute 'app'"),
        ("app = 5", "broken_two:app", "can be called"),
        ("1 / 0", "broken_three:app", "ZeroDivisionError"),
        ("def (", "broken_four:app", "SyntaxError"),
    ],
)
def test_an_app_that_cannot_be_used_says_why(content, reference, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{reference.split(':')[0]}.py").write_text(content)
    with pytest.raises(UsageError, match=words) as raised:
        AppSource(reference).load()
    assert "\n" not in str(raised.value)
