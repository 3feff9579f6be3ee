"""Which tokens of an answer its score comes from: integrated gradients over the token embeddings, by captum.

    attribution_i = sum_d (x_id - b_d) * integral over a from 0 to 1 of  dS/dx_id at b + a (x - b)

S is the score, x the embeddings of the answer's R tokens, b the embedding of EOS at every place of the answer: an
answer of the same length that says nothing. The attributions add up to S(x) - S(b); by how much the sum of finitely
many points misses that is the completeness gap.

Why EOS: a reward model always has it, and has learned what it means. Zeros would be no neutral point, because a norm
before the first layer makes all of the way from zero to x look the same and then jump; the pad token may lie outside of
the vocabulary. The prompt keeps its embeddings all the way: the answer alone is explained, given what was asked.

R tokens of the answer, P of the prompt, D hidden, K points in one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from reward.training.packing import Prefixed, pack
from reward.training.reward_model import RewardModel

METHOD = "gausslegendre"
Tick = Callable[[int], None]
"""Called before each forward pass with the number of points that are done."""


def no_tick(done: int) -> None:
    """Nobody wants to know."""


class Explanation(NamedTuple):
    """Where a score comes from, in reward units."""

    attributions: Tensor  # [R] float64: what each token adds to the baseline's score; 0 for a token that is EOS itself
    score: float
    baseline_score: float
    num_steps: int

    @property
    def difference(self) -> float:
        return self.score - self.baseline_score

    @property
    def gap(self) -> float:
        """What the attributions leave of the difference unexplained; negative where they explain too much."""
        return self.difference - float(self.attributions.sum())

    @property
    def relative_gap(self) -> float | None:
        """|gap| as a share of |difference|; None where there is no difference to explain."""
        return abs(self.gap / self.difference) if self.difference else None


def explain(
    model: RewardModel,
    prompt: Sequence[int],
    answer: Sequence[int],
    *,
    steps: int,
    steps_per_forward: int = 4,
    tick: Tick = no_tick,
) -> Explanation:
    """Integrated gradients of an answer's score (Sundararajan, Taly and Yan 2017, equation 1), the mean of the heads.

    The points of a forward pass are packed as so many answers to one prompt, which is computed once for all of them.

    Args:
        prompt, answer: token ids, the answer with EOS unless it was cut off; as the reward model is trained on them.
        steps: points of the Gauss-Legendre rule.

    Raises:
        ValueError: no step, or an answer without tokens.
    """
    if steps < 1 or steps_per_forward < 1:
        raise ValueError(f"steps ({steps}) and steps_per_forward ({steps_per_forward}) must be at least 1")
    device = model.head_weight.device
    embed = model.backbone.get_input_embeddings()  # type: ignore[operator]
    with torch.no_grad():
        asked = embed(torch.tensor(prompt, dtype=torch.int64, device=device))
        said = embed(torch.tensor(answer, dtype=torch.int64, device=device))
        silent = embed(torch.tensor(model.tokenizer.eos_id, device=device)).expand_as(said)
    done = 0

    def score(points: Tensor) -> Tensor:
        """[K] of [K, R, D]."""
        nonlocal done
        tick(done)
        done += len(points)
        row = pack([Prefixed(prompt, [answer] * len(points))], device)
        return model(row, torch.cat([asked, points.flatten(0, 1)])[None]).mean(dim=1)

    with torch.no_grad():
        ends = score(torch.stack([said, silent])).double()
    done = 0
    found = IntegratedGradients(score).attribute(
        said[None], silent[None], n_steps=steps, method=METHOD, internal_batch_size=steps_per_forward
    )
    return Explanation(found[0].detach().double().sum(dim=1).cpu(), float(ends[0]), float(ends[1]), steps)
