"""Compares our stack over TUN with kernel to kernel over veth, on this machine, in one run."""

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from scripts.benchmarks import report
from scripts.benchmarks.measure import Bench, Contention, Sample
from scripts.benchmarks.network import ROOT, BenchError, Networks, compile_programs
from scripts.benchmarks.results import Results
from scripts.benchmarks.workloads import FULL, QUICK, VARIANTS, WORKLOADS, Workload
from stack.errors import UsageError

PAGE = ROOT / "docs" / "performance.md"

EXAMPLES = """examples:
  scripts/bench                              everything, in about four minutes
  scripts/bench --quick --json figures.json  everything, in under 90 seconds
  scripts/bench --only bulk --variant offload --profile bulk.pstats
                                             where the time goes in our stack
"""


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(workload.name for workload in WORKLOADS)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter measurements")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    parser.add_argument("--rounds", type=int, metavar="N", help="measure everything N times")
    parser.add_argument("--seconds", type=float, metavar="S", help="time of one measurement")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help=f"workloads that begin so: {names}"
    )
    parser.add_argument(
        "--variant", action="append", choices=VARIANTS, help="measure only this variant"
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="run our servers under cProfile; the variant goes before FILE's suffix",
    )
    options = parser.parse_args(arguments)
    if (options.rounds or 1) < 1 or (options.seconds or 1) <= 0:
        parser.error("--rounds and --seconds must be above 0")
    if options.only and not _chosen(options.only):
        parser.error(f"--only: no workload of that name; there are {names}")
    if options.write and (options.only or options.variant or options.profile):
        parser.error("--write needs all workloads and variants, without --profile")
    return options


def _chosen(prefixes: Sequence[str] | None) -> list[Workload]:
    return [w for w in WORKLOADS if prefixes is None or w.name.startswith(tuple(prefixes))]


def _show(sample: Sample) -> None:
    """One line for each measurement, for those who wait."""
    values = ", ".join(f"{name} {value:g}" for name, value in sample.result.items())
    before, after = sample.wake_up
    print(
        f"{sample.round + 1:>3}  {sample.workload:<22} {sample.variant:<8} {values:<44}"
        f" wake-up {before:.1f} {after:.1f} µs",
        flush=True,
    )


def run(options: argparse.Namespace) -> None:
    effort = QUICK if options.quick else FULL
    effort = replace(
        effort,
        rounds=options.rounds or effort.rounds,
        seconds=options.seconds or effort.seconds,
    )
    about = report.environment(shlex.join(["scripts/bench", *sys.argv[1:]]), effort)
    profile = options.profile.absolute() if options.profile else None
    with tempfile.TemporaryDirectory(prefix="tunstack-bench-") as folder:
        programs = Path(folder)
        compile_programs(programs)
        contention = Contention()
        with Networks(programs, options.variant or VARIANTS, profile) as networks:
            samples = Bench(programs, networks).run(_chosen(options.only), effort, _show)
    counts = {name: server.counts for name, server in networks.servers.items() if server.counts}
    results = Results(samples)
    about["others_share"] = round(contention.share(), 3)
    remarks = report.notes(results, counts, about)
    report.print_table(results, remarks, Console())
    if options.json:
        report.write_json(options.json, results, counts, about)
    if options.write:
        report.write_markdown(PAGE, results, remarks, about)


def main() -> int:
    options = parse_arguments(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(options)
    except KeyboardInterrupt:
        return 130
    except (BenchError, UsageError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
