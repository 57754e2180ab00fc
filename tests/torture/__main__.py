"""`python -m tests.torture`: everything; `--short`: what fits into a minute. Exit status 1 if anything is found."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.torture.faults import Mode
from tests.torture.forking import preload
from tests.torture.judging import Findings
from tests.torture.kills import kills
from tests.torture.mounting import why_no_fuse
from tests.torture.planning import MODES
from tests.torture.powerloss import power_losses, why_no_power_loss
from tests.torture.product import APPEND, MODULES, VARIANTS, Product, why_no_product
from tests.torture.proving import Proved, Tell
from tests.torture.rehearsals import ChdbRehearsal, LoaderRehearsal
from tests.torture.reporting import Tally
from tests.torture.stage import Stage, staged
from tests.torture.sweep import sweep
from tests.torture.watching import watch
from tests.torture.workload import Workload

SHORT_SECONDS = 36.0
LONG_SECONDS = 1500.0
# How the time is shared: what the filesystem finds is worth the most.
NAMES = {"sweep": "faulty disk", "kills": "random kills", "power": "power loss", "watch": "watched runs"}
SHARES = {"sweep": 0.5, "kills": 0.15, "power": 0.25, "watch": 0.1}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--short", action="store_true", help=f"about {SHORT_SECONDS:.0f} s, one way of writing")
    parser.add_argument("--seconds", type=float, help=f"for all proofs together; default {LONG_SECONDS:.0f}")
    parser.add_argument("--every", type=int, default=1, help="every n-th operation (the order is spread anyway)")
    parser.add_argument("--match", default="", help="only operations with this in 'operation path' (a pattern)")
    parser.add_argument("--modes", type=Mode, nargs="+", help="only these ways to fail")
    parser.add_argument("--variants", nargs="+", choices=[each.name for each in VARIANTS], help="only these")
    parser.add_argument("--only", choices=sorted(SHARES), help="one proof alone")
    parser.add_argument("--rehearse", metavar="BUG", help="torture the rehearsal with this bug instead, or `chdb`")
    parser.add_argument("--whole", action="store_true", help="start whole processes, not forks with all imported")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--parallel", type=int, default=2, help="workers of sweep and kills")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    return parser.parse_args()


def _workloads(options: argparse.Namespace) -> list[Callable[[], Workload]]:
    if options.rehearse:
        return [ChdbRehearsal if options.rehearse == "chdb" else partial(LoaderRehearsal, options.rehearse)]
    preload(MODULES)
    names = options.variants or ([APPEND.name] if options.short else [each.name for each in VARIANTS])
    variants = [each for each in VARIANTS if each.name in names]
    return [partial(Product, variant, forked=not options.whole) for variant in variants]


def _torture(options: argparse.Namespace, folder: Path, tally: Tally, tell: Tell) -> None:
    """Each proof on each workload, with its share of the time. One that cannot be made here says why."""
    proofs = _possible(options, tally)
    workloads = _workloads(options) if proofs else []
    total = options.seconds or (SHORT_SECONDS if options.short else LONG_SECONDS)
    shares = sum(SHARES[proof] for proof in proofs)
    for workload in workloads:
        with staged(workload, folder, options.parallel) as stages:
            for proof in proofs:
                seconds = total * SHARES[proof] / shares / len(workloads)
                proved = _prove(proof, stages, seconds, options, tell)
                tally.add(NAMES[proof], workload().name, proved)


def _possible(options: argparse.Namespace, tally: Tally) -> list[str]:
    """The proofs that were asked for and can be made."""
    possible = []
    no_product = None if options.rehearse else why_no_product()
    for proof in [options.only] if options.only else SHARES:
        reason = no_product
        if proof == "sweep":
            reason = reason or why_no_fuse()
        elif proof == "power":
            reason = reason or why_no_power_loss()
        if reason is None:
            possible.append(proof)
        else:
            tally.skip(NAMES[proof], reason)
    return possible


def _prove(proof: str, stages: list[Stage], seconds: float, options: argparse.Namespace, tell: Tell) -> Proved:
    match proof:
        case "sweep":
            modes = [mode for mode in MODES if options.modes is None or mode[0] in options.modes]
            return sweep(stages, seconds_max=seconds, every=options.every, match=options.match, modes=modes, tell=tell)
        case "kills":
            return kills(stages, seconds_max=seconds, seed=options.seed, tell=tell)
        case "power":
            return power_losses(stages, seconds_max=seconds, seed=options.seed, tell=tell)
        case _:
            return watch(stages, seconds_max=seconds, seed=options.seed, tell=tell)


def main() -> int:
    """Runs the proofs, prints the table; 1 if anything was found."""
    options = _options()
    # As with Ctrl-C, everything is killed and unmounted on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console(stderr=False, width=None if sys.stdout.isatty() else 200)
    tally = Tally(console)
    progress = [0, 0]

    def tell(findings: Findings) -> None:
        progress[0] += 1
        progress[1] += not findings.is_good
        if not findings.is_good:
            console.print(f"bad: {findings.point}: {'; '.join(findings.notes)}", markup=False, highlight=False)
        elif progress[0] % 100 == 0:
            console.print(f"{progress[0]} points, {progress[1]} bad", highlight=False)

    with tempfile.TemporaryDirectory(prefix="rk-torture-") as temporary:
        _torture(options, options.folder or Path(temporary), tally, tell)
    tally.show()
    return 0 if tally.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
