"""Benchmark of the fused losses: `python benchmarks/fused_loss.py --device cpu|cuda [--json [FILE]]`. See README.md."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reward.training.process import loading

with loading():
    import torch

    from benchmarks.measure import Plan, keep_freed_memory
    from benchmarks.problem import Size
    from benchmarks.session import Benchmark, Scope
    from benchmarks.table import Row, as_json, as_text

SIZES = {"cpu": ["512x576x49152", "4096x576x49152"], "cuda": ["8192x4096x128256", "8192x2048x151936"]}
OPS = ("linear_logp", "linear_ppo_loss", "cross_entropy", "gae")


def size(text: str) -> Size:
    try:
        return Size.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ours against bare GEMMs, eager PyTorch, torch.compile and peers.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: float32 on a CPU, bfloat16 on CUDA")
    parser.add_argument("--sizes", nargs="+", type=size, metavar="TxDxV", help="tokens, hidden size, vocabulary")
    parser.add_argument("--ops", nargs="+", choices=OPS, default=list(OPS))
    parser.add_argument(
        "--rounds", type=int, default=7, help="measured rounds, after the warm-up (default %(default)s)"
    )
    parser.add_argument("--warm-up", type=int, default=2, help="rounds discarded, after two checking runs of each row")
    parser.add_argument(
        "--budget", type=float, default=120, help="seconds after which a row sits out further rounds (default 120)"
    )
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds after which no more ops are begun")
    parser.add_argument("--no-memory", action="store_true", help="leave out extra memory: on a CPU, a process a row")
    parser.add_argument("--keep-memory", action="store_true", help="rows reuse freed memory; see README.md")
    parser.add_argument("--no-peers", action="store_true", help="leave out other people's implementations")
    json_help = (
        "rows to stdout instead of the table; with FILE, machine, versions, date and rows to it beside the table"
    )
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help=json_help)
    parsed = parser.parse_args()
    if parsed.rounds < 1 or parsed.warm_up < 0:
        parser.error(f"--rounds ({parsed.rounds}) must be 1 or more, --warm-up ({parsed.warm_up}) 0 or more")
    if parsed.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU here")
    return parsed


def main() -> None:
    options = arguments()
    only_json, file = options.json == "-", Path(options.json) if options.json not in {None, "-"} else None
    if options.keep_memory and not keep_freed_memory():
        sys.exit("fused_loss.py: --keep-memory needs glibc")
    warnings.filterwarnings("ignore")  # the compiler's and the peers' remarks would stand between the table's lines

    def tell(benchmark: Benchmark, rows: list[Row]) -> None:
        if rows and not only_json:
            print(as_text(rows), flush=True)
        if file:  # after each group, so that a run that is cut off leaves what it has
            file.parent.mkdir(parents=True, exist_ok=True)
            found = as_json(benchmark.rows, benchmark.left_out, options.device, sys.argv[1:])
            file.write_text(json.dumps(found, indent=1) + "\n")

    benchmark = Benchmark(scope(options), Plan(options.device, options.rounds, options.warm_up, options.budget), tell)
    for each in options.sizes or map(size, SIZES[options.device]):
        benchmark.size(each)
    benchmark.gae()
    tell(benchmark, [])
    for said in benchmark.left_out:
        print(f"left out: {said}", file=sys.stderr if only_json else sys.stdout)
    if only_json:
        print(json.dumps([row.as_json() for row in benchmark.rows], indent=1))


def scope(options: argparse.Namespace) -> Scope:
    return Scope(
        device=options.device,
        dtype=options.dtype or {"cpu": "float32", "cuda": "bfloat16"}[options.device],
        ops=frozenset(options.ops),
        with_memory=not options.no_memory,
        with_peers=not options.no_peers,
        limit_seconds=options.limit,
    )


if __name__ == "__main__":
    main()
