import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from scripts.benchmarks.measure import Sample
from scripts.benchmarks.results import Results
from scripts.benchmarks.workloads import GOALS, VARIANTS, WORKLOADS
from tests.support.playground import call, eventually, require

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "scripts.benchmarks", "--rounds", "1", "--seconds", "0.2"]


def environment(folder):
    """Marks every process of a run by the folder that it works in."""
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


def processes_of(folder):
    marker = f"TMPDIR={folder}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue  # it ended meanwhile
    return found


def test_a_run_yields_every_figure_and_leaves_nothing(tmp_path):
    require("gcc")
    figures = tmp_path / "figures.json"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = call([*COMMAND, "--json", str(figures)], env=environment(scratch), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(figures.read_text())
    names = {figure.name for workload in WORKLOADS for figure in workload.figures}
    for name in names:
        assert document["figures"][f"{name}.offload.ratio_veth"] > 0
        assert name.partition(".")[0] in done.stdout
    assert set(document["goals"]) == {goal.name for goal in GOALS}
    assert not processes_of(scratch)
    assert not list(scratch.iterdir())


def test_offload_moves_super_segments_both_ways(tmp_path):
    figures = tmp_path / "figures.json"
    command = [*COMMAND, "--only", "bulk", "--variant", "offload", "--variant", "plain"]
    done = call([*command, "--json", str(figures)], env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    counts = json.loads(figures.read_text())["counters"]
    for way in ("down", "up"):
        assert counts["offload"][f"{way}.bytes"] > 20_000 * counts["offload"][f"{way}.segments"]
        assert counts["plain"][f"{way}.bytes"] <= 1_460 * counts["plain"][f"{way}.segments"]
    for counters in counts.values():
        assert counters.get("TcpRetransSegs", 0) <= 5, "a busy machine may cause a probe"
        assert counters["link.dropped"] == 0


def test_control_c_ends_everything_it_started(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "--rounds", "1000"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert "bulk.down" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(20) == 130
    assert eventually(lambda: not processes_of(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_workload_that_does_not_exist_is_named_with_those_that_do():
    done = call([*COMMAND, "--only", "bluk"], cwd=ROOT)
    assert done.returncode == 2
    assert "there are bulk.down, bulk.up, round_trip.together" in done.stderr


def sample(variant, number, trips, wake_up):
    result = {"p50": trips, "p99": trips}
    return Sample("round_trip.apart", variant, number, result, (wake_up, wake_up))


def test_ratios_leave_out_rounds_in_which_the_machine_changed_its_state():
    samples = [
        *(sample("veth", n, 20.0, wake) for n, wake in enumerate((5.0, 5.0, 12.0))),
        *(sample("offload", n, *both) for n, both in enumerate(((80.0, 5), (180, 12), (100, 12)))),
    ]
    results = Results(samples)
    assert results.values["round_trip.apart.p50.offload.ratio_veth"] == 4.5
    assert results.values["round_trip.apart.p50.veth.microseconds"] == 20
    assert results.rows[0].one_state
    assert not Results(samples[1:2] + samples[4:5]).rows[0].one_state


def test_every_goal_is_a_figure_of_a_workload():
    names = {figure.name for workload in WORKLOADS for figure in workload.figures}
    for goal in GOALS:
        figure, variant, _ = goal.name.rsplit(".", 2)
        assert figure in names
        assert variant in VARIANTS
