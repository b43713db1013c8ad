import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.benchmarks import chart, idle, loss, peers, report, tcp, virtual, web
from scripts.benchmarks.__main__ import parse_arguments
from scripts.benchmarks.figures import UNITS, Effort, Goal
from scripts.benchmarks.measure import Sample
from scripts.benchmarks.network import BenchError
from scripts.benchmarks.report import Measured
from scripts.benchmarks.results import Results
from tests.support.playground import call, eventually, require

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "scripts.benchmarks", "--rounds", "1", "--seconds", "0.1"]


def environment(folder):
    """Marks every process of a run by the folder that it works in."""
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


def figures_of(part):
    return {figure.name for workload in part.workloads for figure in workload.figures}


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


def needs(goal, variants):
    """Whether one of these variants is in the goal's name."""
    return any(f".ratio_{variant}" in goal.name for variant in variants)


def test_a_run_measures_every_variant_and_leaves_nothing(tmp_path):
    require("gcc")
    figures = tmp_path / "figures.json"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    names = ("bulk.down", "round_trip.apart", "connections.parallel")
    chosen = [word for name in names for word in ("--only", name)]
    command = [*COMMAND, "--tcp", *chosen, "--json", str(figures)]
    done = call(command, env=environment(scratch), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(figures.read_text())
    missing = peers.missing()
    for workload in (workload for workload in tcp.PART.workloads if workload.name in names):
        for variant in set(workload.variants) - {"veth"} - missing.keys():
            assert document["figures"][f"{workload.figures[0].name}.{variant}.ratio_veth"] > 0
        assert workload.name.partition(".")[0] in done.stdout
    expected = {
        goal.name
        for goal in tcp.PART.goals
        if goal.name.startswith(names)
        if (goal.without in missing if goal.without else not needs(goal, missing))
    }
    assert expected == set(document["goals"])
    assert set(document["missing"]) == set(missing)
    assert not processes_of(scratch)
    assert not list(scratch.iterdir())


def test_offload_moves_super_segments_both_ways(tmp_path):
    figures = tmp_path / "figures.json"
    command = [*COMMAND, "--only", "bulk", "--variant", "offload", "--variant", "plain"]
    done = call([*command, "--json", str(figures)], env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    counts = json.loads(figures.read_text())["counters"]["tcp"]
    for way in ("down", "up"):
        assert counts["offload"][f"{way}.bytes"] > 20_000 * counts["offload"][f"{way}.segments"]
        assert counts["plain"][f"{way}.bytes"] <= 1_460 * counts["plain"][f"{way}.segments"]
    for counters in counts.values():
        assert counters.get("TcpRetransSegs", 0) <= 5, "a busy machine may cause a probe"
        assert counters["link.dropped"] == 0


def test_control_c_ends_everything_it_started(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "--rounds", "1000", "--variant", "veth", "--variant", "offload"],
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
    results = Results(tcp.PART, samples)
    assert results.values["round_trip.apart.p50.offload.ratio_veth"] == 4.5
    assert results.values["round_trip.apart.p50.veth.microseconds"] == 20
    assert results.rows[0].one_state
    assert not Results(tcp.PART, samples[1:2] + samples[4:5]).rows[0].one_state


def test_ratios_are_to_other_references_too():
    samples = [sample(name, 0, trips, 5) for name, trips in (("lwip", 20), ("plain", 50))]
    values = Results(tcp.PART, samples).values
    assert values["round_trip.apart.p50.plain.ratio_lwip"] == 2.5
    assert "round_trip.apart.p50.plain.ratio_veth" not in values


def test_a_goal_stands_in_for_those_of_a_peer_that_is_missing():
    name = "round_trip.apart.p50.plain.ratio_veth"
    goals = (Goal(name, 4, at_least=False, without="lwip"),)
    part = replace(tcp.PART, goals=goals)
    samples = [sample(name, 0, trips, 5) for name, trips in (("veth", 20), ("plain", 50))]
    assert [value for _, value in Results(part, samples).goals()] == [2.5]
    assert not Results(part, [*samples, sample("lwip", 0, 20, 5)]).goals()


def test_peers_that_are_missing_are_named(monkeypatch, capsys):
    absent = tuple(replace(peer, is_present=lambda: False) for peer in peers.PEERS)
    monkeypatch.setattr(peers, "PEERS", absent)
    with pytest.raises(SystemExit) as stopped:
        parse_arguments(["--variant", "lwip"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "bench: lwip cannot be measured: it needs liblwip-dev\n"
    without = Measured(Results(tcp.PART, []), {}, Effort(rounds=1), 0.0, peers.missing())
    assert "lwIP is left out: it needs liblwip-dev" in without.notes()
    assert {"lwip", "gvisor", "gvisor_plain"} == peers.missing().keys() <= tcp.PART.variants.keys()


@pytest.mark.parametrize(
    "part", [tcp.PART, idle.PART, virtual.PART, loss.PART, web.PART], ids=lambda part: part.name
)
def test_every_goal_is_a_figure_of_a_workload(part):
    for goal in part.goals:
        figure, variant, last = goal.name.rsplit(".", 2)
        assert figure in figures_of(part)
        workload = next(w for w in part.workloads if figure.startswith(w.name))
        assert variant in part.variants_of(workload)
        assert last.removeprefix("ratio_") in {*part.references, part.yardstick, *UNITS}


def test_connections_and_simulated_segments_are_measured_without_a_device(tmp_path):
    figures = tmp_path / "figures.json"
    command = [*COMMAND, "--virtual", "--connections", "1000", "--scale", "0.02"]
    done = call([*command, "--json", str(figures)], env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    values = json.loads(figures.read_text())["figures"]
    assert 1_000 < values["many.memory.tunstack.bytes"] < 20_000
    assert values["many.segment.at_10.tunstack.microseconds"] > 0
    assert values["many.segment.at_100.python.ratio_tunstack"] > 0
    assert "many.segment.growth.tunstack.ratio" not in values
    assert values["simulator.bulk.tunstack.per_second"] > 0


def test_a_folder_that_does_not_exist_is_named_before_anything_is_measured(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_arguments(["--json", "nowhere/figures.json"])
    assert stopped.value.code == 2
    assert "nowhere/figures.json: there is no such folder" in capsys.readouterr().err


def test_idle_connections_of_every_stack_are_held_and_weighed(tmp_path):
    figures = tmp_path / "figures.json"
    command = [*COMMAND, "--idle", "--seconds", "5", "--connections", "200"]
    done = call([*command, "--json", str(figures)], env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    document = json.loads(figures.read_text())
    present = idle.PART.variants.keys() - peers.missing().keys()
    for variant in present:
        assert document["figures"][f"idle.memory.{variant}.bytes"] > 0
    assert {sample["result"]["count"] for sample in document["samples"]} == {200}
    assert not processes_of(tmp_path)


@pytest.mark.parametrize("option", ["--rounds", "--seconds", "--scale", "--connections"])
def test_amounts_must_be_above_nothing(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_arguments([option, "0"])
    assert stopped.value.code == 2
    assert f"{option} must be above 0" in capsys.readouterr().err


def test_lossy_transfers_are_compared_with_the_kernels_own(tmp_path):
    figures = tmp_path / "figures.json"
    command = [*COMMAND, "--loss", "--only", "loss.5", "--scale", "0.02", "--json", str(figures)]
    done = call(command, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    values = json.loads(figures.read_text())["figures"]
    for name in ("loss.5_percent.down", "loss.5_percent.up"):
        assert values[f"{name}.tunstack.ratio_kernel"] > 0


def test_our_web_server_is_measured_without_the_one_to_compare_with(tmp_path):
    require("h2load")
    figures = tmp_path / "figures.json"
    command = [*COMMAND, "--http", "--variant", "tunstack", "--scale", "0.02"]
    done = call([*command, "--json", str(figures)], env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    values = json.loads(figures.read_text())["figures"]
    assert values["http.h2c.tunstack.per_second"] > 100
    assert values["http.tls.tunstack.per_second"] > 100
    assert values["http.download.http2_to_http1.tunstack.ratio"] > 0


def measured(part, *values):
    figure = part.workloads[0].figures[0]
    samples = [
        Sample(
            part.workloads[0].name,
            variant,
            0,
            {"bytes": value, "seconds": 1.0, "cpu": 1.0},
            (5.0, 5.0),
        )
        for variant, value in zip(part.variants, values, strict=False)
    ]
    assert figure.more_is_better
    return Measured(Results(part, samples), {}, Effort(rounds=1), 0.0, {})


def test_a_peer_that_does_not_build_is_left_out(monkeypatch, tmp_path, capsys):
    def fail(program):
        raise BenchError(f"no header for {program.name}")

    lwip = replace(peers.PEERS[0], build=fail)
    monkeypatch.setattr(peers, "PEERS", (lwip,))
    assert not peers.compile_peers(tmp_path, ["gvisor"])
    reasons = peers.compile_peers(tmp_path, ["lwip"])
    assert reasons == {"lwip": "our program does not build on this version of liblwip-dev"}
    assert "bench: no header for lwip" in capsys.readouterr().err


def test_the_picture_has_every_variant_and_is_the_same_for_the_same_figures(tmp_path):
    samples = [sample(name, 0, trips, 5) for name, trips in (("veth", 20), ("busy", 50))]
    results = Results(tcp.PART, samples)
    assert [panel.speeds for panel in chart.panels(results)] == [{"busy": 0.4}]
    assert [panel.goals for panel in chart.panels(results)] == [{"busy": 0.5}]
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    chart.draw(first, results)
    chart.draw(second, results)
    assert first.read_bytes() == second.read_bytes()
    for words in ("round trip, two processors, median", "tunstack, busy", "0.40", "goal"):
        assert f">{words}<" in first.read_text()


def test_the_page_shows_the_picture_beside_it(tmp_path):
    page = tmp_path / "page.md"
    about = report.environment("scripts/bench")
    report.write_markdown(page, [loss.PART.title], [measured(loss.PART, 2e6, 3e6)], about)
    assert report.PICTURE not in page.read_text()
    (tmp_path / report.PICTURE).touch()
    report.write_markdown(page, [loss.PART.title], [], about)
    assert f"]({report.PICTURE})" in page.read_text()


def test_chapters_that_were_not_measured_stay(tmp_path):
    page = tmp_path / "page.md"
    titles = [tcp.PART.title, loss.PART.title, web.PART.title]
    about = report.environment("scripts/bench")
    report.write_markdown(page, titles, [measured(loss.PART, 2e6, 3e6)], about)
    report.write_markdown(page, titles, [measured(tcp.PART, 1e9, 5e8)], about)
    first = page.read_text()
    assert [line[3:] for line in first.split("\n") if line.startswith("## ")] == titles[:2]
    assert "| 2.00 | 3.00 (1.50) |" in first
    assert "| ≥ 0.9 × |  | 1.50 | met |" in first
    assert "| 8.00 | 4.00 (0.50) |" in first
    report.write_markdown(page, titles, [measured(loss.PART, 2e6, 1e6)], about)
    second = page.read_text()
    assert "| ≥ 0.9 × |  | 0.50 | missed |" in second
    assert second.split("## Through")[0] == first.split("## Through")[0]
