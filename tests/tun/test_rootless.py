"""`tunstack run` as a plain user, and what it says where that is forbidden."""

import os
import sys
from pathlib import Path

import pytest

from tests.support.playground import TUNSTACK, call, require

NOBODY = "65534"
PLAIN = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"


@pytest.fixture(autouse=True)
def _root():
    require("setpriv")
    if os.geteuid() != 0:
        raise AssertionError("this test changes to a plain user: run it with sudo")


def as_plain_user(command, device_mode="0666", before=""):
    """Runs a shell command as nobody, in a mount namespace whose /dev/net/tun has this mode."""
    script = (
        "set -e; mount -t tmpfs none /dev/net; mknod /dev/net/tun c 10 200; "
        f"chmod {device_mode} /dev/net/tun; {open_the_way()} {before} exec {PLAIN} sh -c '{command}'"
    )
    return call(["unshare", "--mount", "sh", "-c", script], cwd="/")


def open_the_way():
    """Commands that let a plain user reach interpreter and checkout behind closed folders.

    Only in the mount namespace: an empty folder with open doors takes the place of a closed
    one, and what is needed is mounted back into it.
    """
    needed = {Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[2]}
    behind = {path: top for path in needed if (top := closed_ancestor(path))}
    numbered = list(enumerate(behind))
    return "".join(
        [
            *(f"mkdir /dev/net/{n}; mount --bind {path} /dev/net/{n}; " for n, path in numbered),
            *(f"mount -t tmpfs -o mode=755 none {top}; " for top in set(behind.values())),
            *(f"mkdir -p {path}; mount --bind /dev/net/{n} {path}; " for n, path in numbered),
        ]
    )


def closed_ancestor(path):
    """The outermost folder on the way to `path` that others may not search."""
    for folder in reversed(path.resolve().parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


def test_a_plain_user_runs_everything_without_root():
    done = as_plain_user(
        f'{TUNSTACK} run --quiet -- sh -c "curl -sS http://192.0.2.2/ && '
        'curl -sSk https://[2001:db8::2]/ && ping -c 1 192.0.2.2"'
    )
    assert done.returncode == 0, done.stderr
    assert "1 received" in done.stdout


def test_a_plain_user_gets_the_status_of_the_command():
    assert as_plain_user(f'{TUNSTACK} run --quiet -- sh -c "exit 5"').returncode == 5


def test_a_plain_user_can_fetch_inside():
    done = as_plain_user(f"{TUNSTACK} run --quiet -- {TUNSTACK} fetch http://192.0.2.2/")
    assert done.returncode == 0, done.stderr
    assert "198.51.100.2" in done.stdout


def one_line(done, *words):
    assert done.returncode == 2
    assert done.stderr.startswith("tunstack: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_a_closed_device_node_is_named_with_the_mend():
    done = as_plain_user(f"{TUNSTACK} run -- true", device_mode="0600")
    one_line(done, "/dev/net/tun", "sudo chmod 0666 /dev/net/tun")


def test_a_missing_device_node_is_named_with_the_mend():
    done = as_plain_user(f"{TUNSTACK} run -- true", before="rm /dev/net/tun;")
    one_line(done, "there is no /dev/net/tun", "sudo modprobe tun")


def test_forbidden_user_namespaces_are_named_with_the_mend():
    # A user namespace may forbid further ones inside, as a machine does for all.
    script = (
        "echo 0 > /proc/sys/user/max_user_namespaces; "
        f"exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin {TUNSTACK} run -- true"
    )
    done = call(["unshare", "--user", "--map-root-user", "sh", "-c", script])
    one_line(done, "namespaces are forbidden", "sudo sysctl -w user.max_user_namespaces=")


def test_fetch_outside_says_where_to_use_it():
    done = as_plain_user(f"{TUNSTACK} fetch http://192.0.2.2/")
    one_line(done, "tunstack run", "sudo")


def test_serve_without_root_says_so():
    one_line(as_plain_user(f"{TUNSTACK} serve"), "sudo")


def test_a_plain_user_has_workers_without_a_program_in_the_kernel():
    get = "curl -sS http://192.0.2.2/ && curl -sSk https://[2001:db8::2]/ && "
    done = as_plain_user(f'{TUNSTACK} run --quiet --workers 3 -- sh -c "{get * 4} echo all"')
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all\n")
    assert done.stderr == ""
