"""HTTP/2 over the TUN with nghttp, and what the running command says of it."""

from tests.support.playground import IPV4, Playground, require, tunstack


def test_the_counters_of_http_are_printed_beside_the_hosts(playground):
    assert playground.call("curl", "-s", f"http://{IPV4}/").returncode == 0
    counters = playground.counters()
    assert counters["http_connections"] >= 1
    assert counters["http_requests"] >= 1


def test_without_rfc_7540_the_command_announces_it():
    require("nghttp")
    with Playground("--no-rfc7540") as playground:
        shown = playground.call("nghttp", "-nv", f"http://{IPV4}/")
    assert "(0x09):1" in shown.stdout


def test_nghttp_gets_what_it_prioritises(playground):
    require("nghttp")
    urls = [f"http://{IPV4}/bytes/{size}" for size in (100_000, 200_000, 300_000)]
    shown = playground.call("nghttp", "-nsv", "-p", "200", *urls)
    assert shown.stdout.count("recv HEADERS frame") == 3
    assert "RST_STREAM" not in shown.stdout
    assert "send PRIORITY frame" in shown.stdout


def test_h2load_has_no_failure_over_h2c_and_tls(playground):
    require("h2load")
    for scheme in ("http", "https"):
        shown = playground.call(
            "h2load", "-n", "1000", "-c", "4", "-m", "32", f"{scheme}://{IPV4}/bytes/100"
        )
        assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in shown.stdout


def test_the_certificate_is_kept_from_run_to_run():
    path = tunstack("cert", "--path").stdout.strip()
    for _ in range(2):
        with Playground() as playground:
            answer = playground.call("curl", "-s", "--cacert", path, f"https://{IPV4}/")
        assert answer.returncode == 0, answer.stderr
