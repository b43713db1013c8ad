"""Compares our stack with others on this machine, in one run: TCP over TUN with the kernel's
over veth, lwIP and gVisor; the memory of idle connections; very many connections, and a
simulated network; transfers over a link that loses packets; and HTTP with hypercorn's.
"""

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from scripts.benchmarks import chart, idle, loss, measure, peers, report, tcp, virtual, web
from scripts.benchmarks.figures import Effort, Part, Request
from scripts.benchmarks.measure import Sample
from scripts.benchmarks.network import ROOT, BenchError, compile_programs
from scripts.benchmarks.processors import Contention
from scripts.benchmarks.report import Measured
from scripts.benchmarks.results import Results
from stack.errors import UsageError

PAGE = ROOT / "docs" / "performance.md"
PARTS = (tcp.PART, idle.PART, virtual.PART, loss.PART, web.PART)

EXAMPLES = """examples:
  scripts/bench                              everything, in about twelve minutes
  scripts/bench --quick --json figures.json  everything, in under 90 seconds
  scripts/bench --loss --write               100 MB each way under 5 % loss, in about ten
                                             minutes, and their chapter of the page
  scripts/bench --only bulk --variant offload --profile bulk.pstats
                                             where the time goes in our stack
"""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bench: {message}\n")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="scripts/bench",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(workload.name for part in PARTS for workload in part.workloads)
    variants = list(dict.fromkeys(variant for part in PARTS for variant in part.variants))
    for part in PARTS:
        parser.add_argument(
            f"--{part.name}",
            dest="parts",
            action="append_const",
            const=part,
            help=f"only this part, in full: {part.title}",
        )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter measurements")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write docs/performance.md and its picture; chapters that are not measured stay",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="measure everything N times")
    parser.add_argument(
        "--connections", type=int, metavar="N", help="connections of a measurement, at most"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="time of one measurement")
    parser.add_argument(
        "--scale", type=float, metavar="F", help="F times as many bytes and requests"
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help=f"workloads that begin so: {names}"
    )
    parser.add_argument(
        "--variant", action="append", choices=variants, help="measure only this variant"
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="run our servers under cProfile; the variant goes before FILE's suffix",
    )
    options = parser.parse_args(arguments)
    for name in ("rounds", "seconds", "scale", "connections"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            parser.error(f"--{name} must be above 0")
    if options.write and (options.only or options.variant or options.profile):
        parser.error("--write needs all workloads and variants, without --profile")
    for file in filter(None, (options.json, options.profile)):
        if not file.absolute().parent.is_dir():
            parser.error(f"{file}: there is no such folder")
    for variant in set(options.variant or ()) & peers.missing().keys():
        parser.error(f"{variant} cannot be measured: {peers.missing()[variant]}")
    if not _chosen(options):
        parser.error(f"no such workload, or not in that variant; there are {names}")
    return options


def _chosen(options: argparse.Namespace) -> list[Part]:
    """The parts to measure, with the workloads that are asked for."""
    prefixes = tuple(options.only or [""])
    parts = [
        replace(part, workloads=tuple(w for w in part.workloads if w.name.startswith(prefixes)))
        for part in options.parts or PARTS
    ]
    return [part for part in parts if _variants(part, options)]


def _variants(part: Part, options: argparse.Namespace) -> tuple[str, ...]:
    """Those that are asked for, or else all, as far as the part's workloads have them."""
    used = {variant for workload in part.workloads for variant in part.variants_of(workload)}
    return tuple(
        variant
        for variant in part.variants
        if variant in used and (options.variant is None or variant in options.variant)
    )


def _effort(part: Part, options: argparse.Namespace) -> Effort:
    effort = part.quick if options.quick else part.alone if options.parts else part.full
    return replace(
        effort,
        rounds=options.rounds or effort.rounds,
        connections=options.connections or effort.connections,
        seconds=options.seconds or effort.seconds,
        scale=options.scale or effort.scale,
    )


def _show(sample: Sample) -> None:
    """One line for each measurement, for those who wait."""
    values = ", ".join(f"{name} {value:g}" for name, value in sample.result.items())
    before, after = sample.wake_up
    print(
        f"{sample.round + 1:>3}  {sample.workload:<22} {sample.variant:<12} {values:<44}"
        f" wake-up {before:.1f} {after:.1f} µs",
        flush=True,
    )


def _measure(
    part: Part, options: argparse.Namespace, folder: Path, missing: Mapping[str, str]
) -> Measured:
    variants = _variants(part, options)
    present = tuple(variant for variant in variants if variant not in missing)
    profile = options.profile.absolute() if options.profile else None
    contention = Contention()
    effort = _effort(part, options)
    samples, counts = measure.run(part, Request(folder, present, profile), effort, _show)
    absent = {variant: missing[variant] for variant in variants if variant in missing}
    return Measured(Results(part, samples), counts, effort, contention.share(), absent)


def run(options: argparse.Namespace) -> None:
    about = report.environment(shlex.join(["scripts/bench", *sys.argv[1:]]))
    chosen = _chosen(options)
    wanted = {variant for part in chosen for variant in _variants(part, options)}
    missing = peers.missing()
    with tempfile.TemporaryDirectory(prefix="tunstack-bench-") as name:
        folder = Path(name)
        compile_programs(folder)
        missing |= peers.compile_peers(folder, wanted - missing.keys())
        measured = [_measure(part, options, folder, missing) for part in chosen]
    for part_measured in measured:
        report.print_tables(part_measured, Console())
    if options.json:
        report.write_json(options.json, measured, about)
    if options.write:
        for part_measured in measured:
            if part_measured.part.name == tcp.PART.name:
                chart.draw(PAGE.with_name(report.PICTURE), part_measured.results)
        report.write_markdown(PAGE, [part.title for part in PARTS], measured, about)


def main() -> int:
    options = parse_arguments(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(options)
    except KeyboardInterrupt:
        return 130
    except (BenchError, UsageError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
