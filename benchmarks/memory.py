"""One row's extra memory on the CPU, measured in this process and printed in MiB; `measure.py` starts it."""

from __future__ import annotations

import json
import sys

from reward.training.process import loading

with loading():
    import torch

    from benchmarks.candidates import gpu_ops_path, groups
    from benchmarks.measure import resident_extra_mib
    from benchmarks.problem import Size, make_problem


def main(op: str, direction: str, impl: str, size: str, dtype: str) -> None:
    [candidate] = [
        candidate
        for group in groups("cpu")
        for candidate in group.candidates
        if (group.op, group.direction, candidate.impl) == (op, direction, impl)
    ]
    kind = getattr(torch, dtype)
    with gpu_ops_path(candidate.path):
        tiny = make_problem(Size(8, 16, 64), "cpu", kind)
        print(json.dumps(resident_extra_mib(candidate.bind, make_problem(Size.parse(size), "cpu", kind), tiny)))


if __name__ == "__main__":
    main(*sys.argv[1:])
