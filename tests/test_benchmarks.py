from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fused_loss

ROOT = Path(__file__).resolve().parent.parent
FIELDS = {
    *("op", "impl", "device", "dtype", "T", "D", "V", "pass", "ms", "ratio_to_gemm", "extra_mib"),
    *("logp_max_err", "grad_rel_err"),
}


def measured(*arguments: str) -> Any:
    command = [sys.executable, "benchmarks/fused_loss.py", "--json", "--no-peers", "--rounds", "1", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_fused_loss_benchmark_prints_its_rows_as_json() -> None:
    rows = measured("--sizes", "40x16x300", "--ops", "linear_ppo_loss", "--no-memory")
    assert all(row.keys() >= FIELDS for row in rows)
    by_impl = {row["impl"]: row for row in rows}
    assert by_impl.keys() >= {"bare GEMMs", "ours (torch)", "eager"}
    assert by_impl["bare GEMMs"]["ratio_to_gemm"] == 1
    assert by_impl["ours (torch)"]["grad_rel_err"] < 1e-5


def test_a_size_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["fused_loss.py", "--sizes", "40x16"])

    with pytest.raises(SystemExit) as refused:
        fused_loss.main()

    assert refused.value.code == 2
    assert "a size is TxDxV, such as 512x576x49152, not '40x16'" in capsys.readouterr().err
