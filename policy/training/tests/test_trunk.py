"""The policy as bottom, top and reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from policy.training.layers import embed
from policy.training.tests.conftest import build_llama
from policy.training.trunk import Policy

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])


def hidden_of_plain_model() -> Tensor:
    model = build_llama(layers=3)
    model.config._attn_implementation = "eager"
    with torch.no_grad():
        hidden: Tensor = model.model(IDS).last_hidden_state
    return hidden


@pytest.mark.parametrize("train_layers", [None, 1, 2, 3])
def test_policy_and_reference_start_as_the_model_wherever_it_is_cut(train_layers: int | None) -> None:
    policy = Policy(build_llama(layers=3), train_layers=train_layers)
    bottom = policy.bottom(IDS)

    expected = hidden_of_plain_model()
    for hidden in (policy.top(IDS, bottom), policy.reference_top(IDS, bottom)):
        torch.testing.assert_close(hidden.detach()[0], expected[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(hidden.detach()[1, :2], expected[1, :2], atol=1e-5, rtol=0)


def test_right_padding_changes_no_real_token() -> None:
    policy = Policy(build_llama())
    other = IDS.clone()
    other[1, 2:] = 33

    ours, theirs = policy.top(IDS, None).detach(), policy.top(other, None).detach()

    assert torch.equal(ours[1, :2], theirs[1, :2])
    assert not torch.equal(ours[1, 2:], theirs[1, 2:])


def test_only_the_last_layers_and_the_norm_learn() -> None:
    policy = Policy(build_llama(layers=3), train_layers=1)

    prefixes = {
        name.rsplit(".", 1)[0] if "layers" not in name else ".".join(name.split(".")[:4])
        for name, _ in policy.trained()
    }
    assert prefixes == {"model.model.layers.2", "model.model.norm", "value_head"}
    policy.top(IDS, policy.bottom(IDS)).sum().backward()
    with_gradient = {name for name, p in policy.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in policy.trained() if "value_head" not in name}


def test_frozen_layers_are_shared_with_the_reference_not_copied() -> None:
    policy = Policy(build_llama(layers=3), train_layers=1)
    one_layer = sum(p.numel() for p in policy.model.model.layers[2].parameters())

    assert sum(p.numel() for p in policy.reference.parameters()) == one_layer + 32


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("train_layers", [None, 1])
def test_reference_stays_when_the_policy_moves(train_layers: int | None, tied: bool) -> None:
    policy = Policy(build_llama(tied=tied), train_layers=train_layers)
    before = policy.reference_top(IDS, policy.bottom(IDS)), policy.reference_head.clone()

    with torch.no_grad():
        for _, parameter in policy.trained():
            parameter.add_(0.1)

    after = policy.reference_top(IDS, policy.bottom(IDS)), policy.reference_head
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("train_layers", [None, 1])
def test_initial_weights_name_every_trained_tensor_of_the_model(train_layers: int | None) -> None:
    policy = Policy(build_llama(), train_layers=train_layers)
    start = {name: p.detach().clone() for name, p in policy.trained()}
    with torch.no_grad():
        for _, parameter in policy.trained():
            parameter.add_(0.1)

    initial = policy.initial_weights()

    names = {name for name in start if not name.startswith("value_head")}
    assert names <= set(initial)
    assert all(torch.equal(initial[name], start[name]) for name in names)


def test_more_trained_layers_than_the_model_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"train_layers \(3\) must be at most the model's 2 layers"):
        Policy(build_llama(), train_layers=3)


@pytest.mark.parametrize("train_layers", [None, 1])
def test_rounded_copy_that_draws_answers_follows_the_policy(train_layers: int | None) -> None:
    policy = Policy(build_llama(), train_layers=train_layers, sampler_dtype=torch.bfloat16)
    with torch.no_grad():
        for _, parameter in policy.trained():
            parameter.add_(0.1)

    copied = dict(policy.sampler().named_parameters())

    ours = dict(policy.model.named_parameters())
    assert set(copied) == set(ours)
    assert all(torch.equal(copied[name], ours[name].bfloat16()) for name in ours)
    assert "sampler" not in " ".join(name for name, _ in policy.named_parameters())


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("padding_idx", [None, 6])
def test_an_embeddings_gradient_is_that_of_its_own_backward(tied: bool, padding_idx: int | None) -> None:
    def gradients(embedded: Callable[[nn.Embedding, Tensor], Tensor]) -> list[Tensor]:
        embedding = nn.Embedding(12, 4, padding_idx=padding_idx, dtype=torch.float64)
        nn.init.normal_(embedding.weight, generator=torch.Generator().manual_seed(3))
        head = embedding.weight if tied else nn.Parameter(embedding.weight.detach().flip(0))
        for ids in (IDS, IDS.flip(1)):  # two micro-batches, ids that come up again
            (embedded(embedding, ids).cumsum(1) @ head.T).logsumexp(-1).pow(2).sum().backward()
        assert embedding.weight.grad is not None
        assert head.grad is not None
        return [embedding.weight.grad, head.grad]

    for ours, plain in zip(gradients(embed), gradients(lambda embedding, ids: embedding(ids)), strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-12, rtol=0)


def test_a_frozen_embedding_gets_no_gradient() -> None:
    embedding = nn.Embedding(12, 4).requires_grad_(False)

    assert not embed(embedding, IDS).requires_grad
