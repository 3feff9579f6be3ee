"""Import a public preference set into a campaign, or write it as import lines."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.errors import Refused
from annotation.models import Campaign
from annotation.public_sets import READERS, with_splits
from annotation.services import import_jsonl


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", choices=sorted(READERS))
        parser.add_argument("path", type=Path, help="the folder that holds the set's files, plain or .gz")
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument("--campaign", type=UUID, help="the id in the campaign's address")
        target.add_argument("--out", type=Path, help="a JSONL file to write, for an import by page or API")
        parser.add_argument(
            "--validation", type=float, default=0.2, help="share of the prompts to hold out, by topic (default 0.2)"
        )
        parser.add_argument("--seed", type=int, default=1, help="another seed holds out other topics")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            reading = READERS[options["name"]](options["path"])
            rows = with_splits(reading.lines, validation=options["validation"], seed=options["seed"])
        except (OSError, EOFError, ValueError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{reading.num_rows} rows were read and gave {len(rows)} lines.")
        self._tell("left out", reading.left_out)
        self._tell("repaired", reading.repaired)
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        if options["out"]:
            options["out"].write_bytes(lines)
            self.stdout.write(f"They are in {options['out']}.")
        else:
            self._import(options["campaign"], lines)

    def _tell(self, what: str, reasons: Counter[str]) -> None:
        for reason, num in sorted(reasons.items()):
            self.stdout.write(f"{what}: {num} × {reason}")

    def _import(self, public_id: UUID, lines: bytes) -> None:
        campaign = Campaign.objects.filter(public_id=public_id).first()
        if campaign is None:
            raise CommandError(f"There is no campaign {public_id}; its id is the last part of its page's address.")
        try:
            report = import_jsonl(campaign=campaign, by=None, lines=lines)
        except Refused as refused:
            raise CommandError(refused.message) from None
        self.stdout.write(
            f"Imported {report.num_prompts} prompts, {report.num_completions} answers, {report.num_tasks} tasks and "
            f"{report.num_rankings} rankings; {report.num_duplicates} lines' prompts were there already."
        )
