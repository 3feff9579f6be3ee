"""The demo's own parts: progress, table, summary, and a site that never outlives it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.errors import Refused
from config.demo import progress as demo_progress
from config.demo.progress import Progress, clock
from config.demo.report import summarise, table
from config.demo.site import require_running, running_site
from config.demo.turn import Turn
from config.embedded.layout import PROJECT
from runs.models import RunMetric
from tests.cast import Cast, make_cast
from tests.loop import (
    claim_comparison,
    judge,
    make_base,
    make_child,
    make_reward_model,
    make_study,
    ranked_campaign,
)
from tests.processes import commands_by_pid, eventually, layout_of, processes_of

PROMISED = {
    *("rankings", "agreement_alpha", "rm_accuracy", "rm_accuracy_low", "rm_accuracy_high", "rm_floor_length"),
    *("reward_first", "reward_last", "kl_last_nats_per_sequence", "win_rate", "win_rate_low", "win_rate_high"),
    *("test_prompts", "test_comparisons", "new_tasks", "seconds", "peak_rss_mib", "seed", "model"),
}
"""What var/demo/summary.json promises to hold."""
PIPED = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time_passes(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(demo_progress, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (9.4, "0:09"), (59.6, "1:00"), (247, "4:07"), (3600, "60:00")]
)
def test_a_clock_shows_minutes_and_seconds(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_a_log_gets_a_line_every_fifteen_seconds(time_passes: Clock) -> None:
    out = io.StringIO()
    progress = Progress(num_phases=2, out=out)
    with progress.phase("Sample", budget_seconds=60):
        for done in range(1, 41):
            time_passes.now += 1
            progress.show(done, 80, "answers")
    with progress.phase("Train", budget_seconds=5):
        time_passes.now += 6

    assert out.getvalue().splitlines() == [
        "[1/2] Sample: budget 1:00",
        "[1/2] Sample: 15/80 answers, 0:15, ETA 1:05",
        "[1/2] Sample: 30/80 answers, 0:30, ETA 0:50",
        "[1/2] Sample: done in 0:40",
        "[2/2] Train: budget 0:05",
        "[2/2] Train: done in 0:06, over its budget of 0:05",
    ]
    assert [(t.title, t.seconds, t.budget_seconds) for t in progress.times] == [("Sample", 40, 60), ("Train", 6, 5)]


def test_a_terminals_line_is_drawn_anew(time_passes: Clock) -> None:
    out = Terminal()
    progress = Progress(num_phases=1, out=out)
    with progress.phase("Sample", budget_seconds=60):
        time_passes.now += 2
        progress.show(1, 4, "answers")
        progress.show(2, 4, "answers", eta_seconds=9)

    drawn = out.getvalue().split("\r\x1b[2K")
    assert drawn == [
        "",
        "[1/1] Sample: budget 1:00",
        "[1/1] Sample: 1/4 answers, 0:02, ETA 0:06",
        "[1/1] Sample: 2/4 answers, 0:02, ETA 0:09",
        "[1/1] Sample: done in 0:02\n",
    ]


def test_nothing_done_yet_has_no_eta(time_passes: Clock) -> None:
    out = Terminal()
    progress = Progress(num_phases=1, out=out)
    with progress.phase("Wait", budget_seconds=1):
        progress.show(0, 4, "answers")
    assert "0/4 answers, 0:00\r" in out.getvalue()


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def turn(cast: Cast) -> Turn:
    """A turn whose runs are rows; nobody has judged its study yet."""
    base = make_base(cast.workspace, cast.researcher)
    campaign = ranked_campaign(cast)
    reward_model = make_reward_model(cast, campaign, base)
    child = make_child(cast, base, reward_model, campaign)
    assert child.run is not None
    study = make_study(cast, campaign, child, base)
    return Turn(campaign, reward_model.snapshot, reward_model, base, child, child.run, study)


def test_the_summary_holds_what_it_promises_also_before_anybody_judged(turn: Turn) -> None:
    for step, value in ((4, 5.0), (1, 0.25)):
        RunMetric.objects.create(run=turn.ppo, step=step, name="kl_nats_per_sequence", value=value)

    summary = summarise(turn, seed=11, seconds=61.26, peak_rss_mib=700.4)

    assert set(summary) >= PROMISED
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary["model"], summary["seed"]) == (turn.parent.base_label, 11)
    assert (summary["seconds"], summary["peak_rss_mib"]) == (61.3, 700)
    assert (summary["rankings"], summary["rm_accuracy"], summary["reward_last"]) == (4, 0.75, 0.5)
    assert summary["kl_first_nats_per_sequence"] == 0.25
    assert (summary["win_rate"], summary["test_comparisons"], summary["new_tasks"]) == (None, 0, 0)
    shown = table(summary)
    assert shown.startswith("One turn of the loop, seed 11\n")
    assert "unknown" in shown
    assert shown.endswith("Nothing was judged, so there is no win rate.")


def test_the_summary_of_a_judged_turn_has_its_win_rate(cast: Cast, turn: Turn) -> None:
    judge(claim_comparison(cast, turn.study, cast.alice), turn.study, ours=1, theirs=2)

    summary = summarise(turn, seed=1, seconds=60, peak_rss_mib=1024)

    assert (summary["win_rate"], summary["test_comparisons"], summary["test_prompts"]) == (1.0, 1, 1)
    assert "(1 comparisons on 1 test prompts)" in table(summary)
    assert "1.0 minutes, 1.0 GiB" in table(summary)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.501, 0.7, "The new checkpoint beats its parent: the whole interval lies above 50 %."),
        (0.3, 0.499, "The new checkpoint LOSES to its parent: the whole interval lies below 50 %."),
        (0.5, 0.7, "The new checkpoint does NOT clearly beat its parent: the interval contains 50 %."),
        (0.3, 0.5, "The new checkpoint does NOT clearly beat its parent: the interval contains 50 %."),
        (None, None, "Nothing was judged, so there is no win rate."),
    ],
)
def test_the_tables_last_line_is_the_verdict(low: float | None, high: float | None, verdict: str) -> None:
    known: dict[str, Any] = dict.fromkeys(PROMISED | {"rm_ceiling", "kl_first_nats_per_sequence"}, 1)

    assert table({**known, "win_rate_low": low, "win_rate_high": high}).splitlines()[-1] == verdict


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_in_use_is_one_sentence_and_starts_nothing(taken_port: int, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"Port {taken_port} is in use; .*: PORT={taken_port + 1} make demo"):
        running_site(port=taken_port, logs=tmp_path / "logs").__enter__()
    assert not (tmp_path / "logs").exists()


def test_a_site_that_does_not_start_leaves_its_last_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_THREADS", "two")
    with pytest.raises(Refused, match=r"RUN_THREADS is .two.; it must be a whole number") as refused:
        running_site(port=free_port(), logs=tmp_path).__enter__()
    assert refused.value.code == "site_failed"
    assert processes_of(tmp_path) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's own")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_ended_while_it_starts_leaves_nothing(
    number: signal.Signals, site_environment: dict[str, str]
) -> None:
    var = Path(site_environment["PLUMBLINE_VAR"])
    environment = {**site_environment, "PORT": str(free_port())}
    command = [sys.executable, "manage.py", "demo"]
    with subprocess.Popen(command, cwd=PROJECT, env=environment, **PIPED) as demo:  # type: ignore[call-overload]
        # The site's command line names the directory of its logs.
        assert eventually(lambda: any(" up " in command for command in processes_of(var)))

        demo.send_signal(number)
        printed, _ = demo.communicate(timeout=60)

    assert eventually(lambda: processes_of(var) + processes_of(layout_of(var).root) == [])
    if number == signal.SIGKILL:
        assert demo.returncode == -signal.SIGKILL
        return
    assert demo.returncode == 0, printed
    assert printed.splitlines()[1:] == ["", "Stopped; everything that was started has ended."]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's own")
def test_a_demo_whose_site_falls_ends_with_a_sentence_and_leaves_nothing(site_environment: dict[str, str]) -> None:
    var = Path(site_environment["PLUMBLINE_VAR"])
    environment = {**site_environment, "PORT": str(free_port())}
    command = [sys.executable, "-u", "manage.py", "demo"]
    with subprocess.Popen(command, cwd=PROJECT, env=environment, **PIPED) as demo:  # type: ignore[call-overload]
        for line in demo.stdout:
            if line.startswith("[1/8]"):
                break
        (site,) = (pid for pid, command in commands_by_pid(var).items() if " up " in command)

        os.kill(site, signal.SIGKILL)
        printed, _ = demo.communicate(timeout=60)

    assert demo.returncode == 1
    assert re.fullmatch(
        r"CommandError: The (site ended|database went away) while the demo ran; the logs in \S+ say why\. "
        r"Run the command again\.",
        printed.splitlines()[-1],
    )
    assert "Traceback" not in printed
    assert eventually(lambda: processes_of(var) + processes_of(layout_of(var).root) == [])


def test_waiting_for_a_site_that_has_ended_is_refused(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as site:
        require_running(site, logs=tmp_path)
        site.kill()
        site.wait()
        progress = Progress(num_phases=1, out=io.StringIO(), check=lambda: require_running(site, logs=tmp_path))

        with pytest.raises(Refused, match="The site ended while the demo ran") as refused:
            progress.pause(60)

    assert refused.value.code == "site_lost"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
