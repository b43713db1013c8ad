"""HTTP/2 over the TUN with real clients, and what the running command says of it."""

import hashlib
import sys

import pytest

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


HTTPX = """
import sys, httpx
url, body = sys.argv[1], bytes(range(256)) * 4000
with httpx.Client(http1=sys.argv[2] == "1", http2=sys.argv[2] == "2", verify=False) as client:
    answers = [client.get(url + "bytes/100000"), client.post(url + "sha256", content=body)]
    for answer in answers:
        answer.raise_for_status()
    print(*{answer.http_version for answer in answers}, len(answers[0].content), answers[1].text)
"""
H2 = """
import socket, sys, h2.connection, h2.events
connection = h2.connection.H2Connection()
connection.initiate_connection()
head = [(":method", "GET"), (":scheme", "http"), (":authority", sys.argv[1])]
waiting, sizes = {1, 3, 5}, dict.fromkeys((1, 3, 5), 0)
for stream in waiting:
    connection.send_headers(stream, [*head, (":path", f"/bytes/{stream}00000")], end_stream=True)
with socket.create_connection((sys.argv[1], 80), 20) as peer:
    while waiting:
        peer.sendall(connection.data_to_send())
        for event in connection.receive_data(peer.recv(65536)):
            if isinstance(event, h2.events.DataReceived):
                sizes[event.stream_id] += len(event.data)
                size = event.flow_controlled_length
                connection.acknowledge_received_data(size, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                waiting.discard(event.stream_id)
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                sys.exit(str(event))
print(*sizes.values())
"""


@pytest.mark.parametrize(("version", "spoken"), [("1", "HTTP/1.1"), ("2", "HTTP/2")])
def test_httpx_downloads_and_uploads(playground, version, spoken):
    done = playground.call(sys.executable, "-c", HTTPX, f"https://{IPV4}/", version)
    digest = hashlib.sha256(bytes(range(256)) * 4000).hexdigest()
    assert done.stdout.split() == [*spoken.split(), "100000", digest], done.stderr


def test_hyper_h2_gets_several_streams_at_once(playground):
    done = playground.call(sys.executable, "-c", H2, IPV4)
    assert done.stdout.split() == ["100000", "300000", "500000"], done.stderr
