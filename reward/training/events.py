"""events.jsonl: what a run tells while it works."""

from __future__ import annotations

import json
from pathlib import Path


def cut_events(path: Path, step: int | None) -> None:
    """Cut events.jsonl back to what stood there at the checkpoint of `step` (None: to nothing).

    Everything from the first metrics or checkpoint behind `step` on is dropped, and everything behind the
    checkpoint's own event: what follows will be told again. A torn last line goes too.
    """
    if not path.exists():
        return
    kept: list[bytes] = []
    for line in path.read_bytes().splitlines(keepends=True) if step is not None else ():
        try:
            event = json.loads(line)
        except ValueError:
            break
        if event.get("step", -1) > step or not line.endswith(b"\n"):
            break
        kept.append(line)
        if event["type"] == "checkpoint" and event["step"] == step:
            break
    temporary = path.with_name(".events.tmp")
    temporary.write_bytes(b"".join(kept))
    temporary.replace(path)
