"""From what a machine was measured to do to the seconds of a pass through a decoder. Imports no torch.

The measurements are those of `reward.training.machine`: seconds of one layer, forward, for decoders of two widths and
for several numbers of tokens at once. Between them it is interpolated; beyond them time grows as work does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reward.training.shape import Shape

Pair = Sequence[tuple[float, float]]
"""(matrices of a layer, seconds of it) of the two widths, in rising order."""

ADAM_READS = 7
"""AdamW reads weight, gradient and two moments and writes three of them: seven times the bytes that a product reads."""


@dataclass(frozen=True, slots=True)
class Speed:
    """points: tokens at once -> what was measured."""

    points: Mapping[int, Pair]

    @classmethod
    def read(cls, rows: Sequence[Mapping[str, float]]) -> Speed:
        """Raises ValueError where the measurements do not span two widths."""
        points: dict[int, list[tuple[float, float]]] = {}
        for row in sorted(rows, key=lambda row: (row["rows"], row["matrices"])):
            points.setdefault(int(row["rows"]), []).append((row["matrices"], row["seconds"]))
        if not points or any(len(pair) != 2 or min(map(min, pair)) <= 0 for pair in points.values()):
            raise ValueError("a speed needs positive seconds of layers of two widths")
        return cls(points)

    def forward(self, shape: Shape, *, sequences: float, length: float, new: float | None = None) -> float:
        """Seconds of `sequences` through all layers of a decoder, without its head.

        Args:
            length: tokens of each that are attended to.
            new: tokens of each that are computed; all of them for None.
        """
        new = length if new is None else new
        tokens = sequences * new
        if not tokens:
            return 0.0
        # A query meets on average half of its own new tokens and all before them, in two products.
        attention = 2 * shape.queries * (length - new / 2)
        return shape.layers * self._layer(shape.layer_matrices, tokens) * (1 + attention / shape.layer_matrices)

    def product(self, parameters: float, *, tokens: float) -> float:
        """Seconds of one product of `tokens` rows with a matrix of so many parameters, as that of the head."""
        return self._slope(tokens) * parameters if tokens else 0.0

    def update(self, parameters: float) -> float:
        """Seconds of one AdamW step."""
        return ADAM_READS * self._slope(1) * parameters

    def _layer(self, matrices: float, tokens: float) -> float:
        return self._between(tokens, lambda pair: _on_line(pair, matrices))

    def _slope(self, tokens: float) -> float:
        """Seconds a parameter, for a matrix so large that nothing else counts."""
        return self._between(tokens, lambda pair: pair[-1][1] / pair[-1][0])

    def _between(self, tokens: float, seconds: Callable[[Pair], float]) -> float:
        """`seconds` of the measurements, on a straight line between logarithms."""
        counts = sorted(self.points)
        if tokens <= counts[0]:
            return seconds(self.points[counts[0]])
        for low, high in itertools.pairwise(counts):
            if tokens <= high:
                share = math.log(tokens / low) / math.log(high / low)
                first, last = seconds(self.points[low]), seconds(self.points[high])
                return first * math.exp(share * math.log(last / first))
        return seconds(self.points[counts[-1]]) * tokens / counts[-1]


def _on_line(pair: Pair, matrices: float) -> float:
    """Seconds of a layer of that size: on the line through both measurements, and above both in proportion."""
    (small, quick), (large, slow) = pair
    if matrices >= large:
        return slow * matrices / large
    slope = (slow - quick) / (large - small)
    # A line that meets the axis below zero would make small layers cost nothing.
    return max(quick + slope * (matrices - small), quick * min(1.0, matrices / small))
