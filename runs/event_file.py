"""A TensorBoard event file, through TensorBoard's own writer: scalars by name, text, and where a run restarts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import BinaryIO

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

VERSION = "brain.Event:2"
"""Readers take a file for an old one, and guess at restarts from its steps, unless it begins so."""


class EventFile:
    """Writes into `sink` as told; nothing is queued, so an error is raised where it happens.

    Wall times are seconds since 1970. TensorBoard keeps values as float32.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self._records = RecordWriter(sink)
        self._add(Event(wall_time=time.time(), file_version=VERSION))

    def restart(self, step: int) -> None:
        """What earlier files of the same directory say of this step and later ones is forgotten."""
        self._add(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def add_text(self, tag: str, markdown: str, *, wall_time: float) -> None:
        self._add(Event(wall_time=wall_time, summary=text_pb(tag, markdown)))

    def add_scalars(self, step: int, values: Mapping[str, float | None], *, wall_time: float) -> None:
        """The values of one step by name; None, where there was no finite one, is left out."""
        told = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if value is not None]
        if told:
            self._add(Event(wall_time=wall_time, step=step, summary=Summary(value=told)))

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()

    def _add(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
