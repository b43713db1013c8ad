from tests.support.playground import TUNSTACK, call, empty_network, tunstack


def test_each_line_is_ok_or_names_the_mend():
    done = tunstack("doctor")
    lines = done.stdout.splitlines()
    assert len(lines) >= 12
    for line in lines:
        assert line.startswith("ok     ") or (line.startswith("wrong  ") and "mend it: " in line)
    assert done.returncode == int(any(line.startswith("wrong") for line in lines))
    assert done.stderr == ""


def test_all_is_well_in_a_network_without_clashes():
    with empty_network() as network:
        done = network.call(TUNSTACK, "doctor")
    assert done.returncode == 0, done.stdout
    for subject in ("compiled extension", "device node", "user namespaces", "offload", "tshark"):
        assert subject in done.stdout


def test_a_clash_is_found():
    with empty_network() as network:
        network.call("ip", "address", "add", "192.0.2.77/24", "dev", "lo")
        done = network.call(TUNSTACK, "doctor")
    assert done.returncode == 1
    assert "wrong  default addresses: `serve` would meet 192.0.2.0/24" in done.stdout
    assert "--address" in done.stdout


def test_a_missing_device_node_is_found():
    done = call(
        ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none /dev/net && {TUNSTACK} doctor"]
    )
    assert done.returncode == 1
    assert "wrong  device node" in done.stdout
    assert "sudo modprobe tun" in done.stdout


def test_a_missing_tool_is_found(tmp_path):
    done = tunstack("doctor", env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "wrong  tshark: not installed; mend it: sudo apt-get install tshark" in done.stdout
