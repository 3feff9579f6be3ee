"""What one PPO step works on.

B answers, b of them in a micro-batch, T padded length, R longest answer, N response tokens, D hidden.

True in a mask takes part. Per-token quantities are [B, R], position r of a row being the answer's r-th token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import linear_logp
from policy.training.randomness import generator
from policy.training.sampling import Answer
from policy.training.trunk import Policy
from reward.training.ranks import ALONE, Ranks


class Rollout(NamedTuple):
    """Answers as drawn: token ids flow through, text is never tokenised again."""

    prompts: list[list[int]]  # B
    responses: list[list[int]]  # B, EOS included where finished
    finished: Tensor  # [B] bool, ended with EOS
    sampler_logp: Tensor  # [B, R] nats, by the sampler
    mask: Tensor  # [B, R] bool, real response tokens


class MicroBatch(NamedTuple):
    """Rows of a rollout in one forward pass, padded on the right. Made once a rollout, so that old and new
    log-probabilities come from the same shapes."""

    rows: Tensor  # [b] int64, into the rollout
    ids: Tensor  # [b, T] int64, all that a token is predicted from: a row's last token only where `ends` is asked for
    states: Tensor  # [N] int64, positions in [b * T] whose hidden state predicts a response token
    targets: Tensor  # [N] int64, those tokens
    mask: Tensor  # [b, R] bool
    ends: Tensor | None  # [b] int64, positions in [b * T] of each row's last token
    bottom: Tensor | None  # [b, T, D] what the frozen layers make of ids


class Judged(NamedTuple):
    """What policy, reference and reward model say of a rollout before any update. No gradient, save for `states`."""

    logp: Tensor  # [B, R] nats
    ref_logp: Tensor  # [B, R] nats
    entropy: Tensor  # [B, R] nats
    values: Tensor  # [B, R] reward units, before the token is drawn
    last_values: Tensor | None  # [B] reward units, after the last token; None where the micro-batches have no `ends`
    scores: Tensor  # [B] raw, by the reward model: the mean of its heads
    disagreement: Tensor | None  # [B] reward units, standard deviation (n - 1) of the heads; None with one head
    states: Tensor | None = None  # [N, D] with gradient, of the only micro-batch: the first update need not repeat them


def make_rollout(prompts: Sequence[Sequence[int]], answers: Sequence[Answer], device: torch.device) -> Rollout:
    """Put drawn answers side by side."""
    longest = max(len(answer.token_ids) for answer in answers)
    lengths = torch.tensor([len(answer.token_ids) for answer in answers])
    mask = torch.arange(longest) < lengths[:, None]
    logp = torch.zeros(len(answers), longest)
    logp[mask] = torch.tensor([value for answer in answers for value in answer.logp])
    return Rollout(
        prompts=[list(prompt) for prompt in prompts],
        responses=[answer.token_ids for answer in answers],
        finished=torch.tensor([answer.finish_reason == "stop" for answer in answers]).to(device),
        sampler_logp=logp.to(device),
        mask=mask.to(device),
    )


def pool_answers(
    mine: Sequence[Answer], total: int, *, ranks: Ranks, longest: int, device: torch.device
) -> list[Answer]:
    """All answers in their order, of which each rank drew its share; `longest` bounds their tokens."""
    ids = torch.zeros(total, longest, dtype=torch.int64)
    logp = torch.zeros(total, longest, dtype=torch.float64)
    lengths, finished = (torch.zeros(total, dtype=torch.int64) for _ in range(2))
    for place, answer in zip(ranks.share(range(total)), mine, strict=True):
        count = len(answer.token_ids)
        ids[place, :count], logp[place, :count] = torch.tensor(answer.token_ids), torch.tensor(answer.logp).double()
        lengths[place], finished[place] = count, int(answer.finish_reason == "stop")
    told = [each.to(device) for each in (ids, logp, lengths, finished)]
    ranks.add_up(told)
    rows = zip(*(each.tolist() for each in told), strict=True)
    return [Answer(row[:n], "stop" if stopped else "length", values[:n]) for row, values, n, stopped in rows]


def plan_rows(
    rollout: Rollout, *, mini_batches: int, micro_batch_size: int, seed: int, step: int
) -> list[list[Tensor]]:
    """Rows [b] of each micro-batch of each mini-batch: mini-batches at random, within one sorted by length."""
    count = len(rollout.responses)
    lengths = torch.tensor([len(p) + len(r) for p, r in zip(rollout.prompts, rollout.responses, strict=True)])
    shuffled = torch.randperm(count, generator=generator(seed, "mini-batches", step))
    plan = []
    for part in shuffled.tensor_split(mini_batches):
        ordered = part[lengths[part].argsort(stable=True)]
        plan.append(list(ordered.split(micro_batch_size)))
    return plan


def make_micro_batch(policy: Policy, rollout: Rollout, rows: Tensor, *, keep_last: bool = False) -> MicroBatch:
    """Pad the rows' tokens on the right and run the frozen layers over them.

    Without rows it is one token whose states nobody asks for: a pass that counts for nothing.

    Args:
        keep_last: run the rows' last tokens too, for the values after them; nothing is predicted there.
    """
    device = rollout.mask.device
    chosen = rows.tolist()
    until = None if keep_last else -1
    sequences = [(rollout.prompts[i] + rollout.responses[i])[:until] for i in chosen] or [[0]]
    longest = max(map(len, sequences))
    ends = [row * longest + len(sequence) - 1 for row, sequence in enumerate(sequences)][: len(chosen)]
    ids = torch.tensor([s + [0] * (longest - len(s)) for s in sequences], device=device)
    states = [
        row * longest + len(rollout.prompts[i]) - 1 + r
        for row, i in enumerate(chosen)
        for r in range(len(rollout.responses[i]))
    ]
    targets = [token for i in chosen for token in rollout.responses[i]]
    return MicroBatch(
        rows=rows.to(device),
        ids=ids,
        states=torch.tensor(states, dtype=torch.int64, device=device),
        targets=torch.tensor(targets, dtype=torch.int64, device=device),
        mask=rollout.mask[rows.to(device)],
        ends=torch.tensor(ends, dtype=torch.int64, device=device) if keep_last else None,
        bottom=policy.bottom(ids),
    )


def response_states(policy: Policy, batch: MicroBatch) -> Tensor:
    """Hidden states [N, D] that predict the response tokens, with gradient. Prompts and padding end here."""
    hidden = policy.top(batch.ids, batch.bottom)
    return hidden.reshape(-1, hidden.shape[-1])[batch.states]


@torch.no_grad()
def judge(
    policy: Policy,
    rollout: Rollout,
    batches: Sequence[MicroBatch],
    members: Tensor,
    *,
    temperature: float,
    keep_last: bool = False,
    keep_states: bool = False,
    ranks: Ranks = ALONE,
) -> Judged:
    """Log-probabilities, entropies and values of every response token, in the shapes that the updates will use.

    Args:
        batches: this rank's.
        members: [B, M], the answers' scores by each head of the reward model.
        keep_last: as the micro-batches were made; a rank may have none.
        keep_states: keep the policy's hidden states with what their gradient needs; for one micro-batch.
    """
    logp, ref_logp, entropy, values = (torch.zeros_like(rollout.sampler_logp) for _ in range(4))
    scores = members.mean(dim=1)
    disagreement = members.std(dim=1) if members.shape[1] > 1 else None
    last_values = torch.zeros_like(scores) if keep_last else None
    found = Judged(logp, ref_logp, entropy, values, last_values, scores, disagreement)
    # The reference first: its memory is free again before the policy keeps anything.
    for batch in batches:
        ref_states = policy.reference_top(batch.ids, batch.bottom).flatten(0, 1)[batch.states]
        with policy.casting(ref_states):
            theirs = linear_logp(ref_states, policy.reference_head, batch.targets, temperature=temperature)
        ref_logp[batch.rows] = unflatten(theirs.logp, batch.mask)
    policy.let_reference_go()
    for batch in batches:
        with torch.set_grad_enabled(keep_states):
            hidden = policy.top(batch.ids, batch.bottom)
            flat = hidden.reshape(-1, hidden.shape[-1])
            states = flat[batch.states]
        if keep_states:
            found = found._replace(states=states)
        with policy.casting(states):
            ours = linear_logp(states, policy.head, batch.targets, temperature=temperature, want=("entropy",))
        assert ours.entropy is not None
        places = batch.states if batch.ends is None else torch.cat([batch.states, batch.ends])
        told = policy.values(batch.ids, places, flat[places])
        for into, token_values in (
            (logp, ours.logp),
            (entropy, ours.entropy),
            (values, told[: len(states)]),
        ):
            into[batch.rows] = unflatten(token_values, batch.mask)
        if last_values is not None:
            last_values[batch.rows] = told[len(states) :]
    ranks.add_up([logp, ref_logp, entropy, values, *([] if last_values is None else [last_values])])
    return found


def unflatten(values: Tensor, mask: Tensor) -> Tensor:
    """[N] to [b, R], 0 where masked."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)
