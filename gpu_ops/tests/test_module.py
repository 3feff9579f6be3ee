from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from gpu_ops import LinearPPO, LMHeadPPOLoss, linear_ppo_loss
from gpu_ops.tests.cases import VOCABULARY, WIDTH, Case, make_case

RANKS = 2
OPTIONS: dict[str, Any] = {"entropy_coef": 0.02, "kl_coef": 0.1}


class Model(nn.Module):
    """A trunk of one layer and the head."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Linear(WIDTH, WIDTH)
        self.head = LMHeadPPOLoss(WIDTH, VOCABULARY)
        with torch.no_grad():
            self.head.weight.copy_(case.weight)

    def forward(self, case: Case, **options: Any) -> Tensor:
        states = self.trunk(case.hidden.nan_to_num())
        result = self.head(states, *case[2:5], case.mask, ref_logp=case.ref_logp, **OPTIONS, **options)
        assert isinstance(result, LinearPPO)
        return result.loss


def one_process() -> dict[str, Tensor]:
    case = make_case(60).to(torch.float32)
    model = Model(case)
    model(case, denominator=case.mask.sum()).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def a_rank(rank: int, kind: str, port: int, folder: str) -> None:
    """Half of the tokens, unevenly cut; writes the gradients that rank 0 ends with."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
    torch.set_num_threads(1)
    case = make_case(60).to(torch.float32)
    model: nn.Module = Model(case)
    if kind == "ddp":
        model = DistributedDataParallel(model)
    else:
        mesh = dist.init_device_mesh("cpu", (RANKS,))
        fully_shard(model.head, mesh=mesh)  # type: ignore[arg-type]
        fully_shard(model, mesh=mesh)
    cut = slice(0, 23) if rank == 0 else slice(23, None)
    share = Case(case.hidden[cut], case.weight, *(x[cut] for x in case[2:]))
    model(share, denominator=case.mask.sum(), loss_scale=float(RANKS)).backward()
    gradients = {}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        whole = gradient.full_tensor() if isinstance(gradient, DTensor) else gradient
        gradients[name.removeprefix("module.")] = whole.contiguous()
    if rank == 0:
        save_file(gradients, Path(folder) / "gradients.safetensors")
    dist.barrier()
    # Nothing is destroyed: Gloo's destructor (torch 2.13) waits for its own thread with the GIL in hand, which that
    # thread may want, and the rank hangs now and then.
    os._exit(0)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_ranks_give_the_gradients_of_one(kind: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(a_rank, args=(kind, port, str(tmp_path)), nprocs=RANKS)  # type: ignore[attr-defined, no-untyped-call]
    found = load_file(tmp_path / "gradients.safetensors")
    expected = one_process()
    assert found.keys() == expected.keys() == {"trunk.weight", "trunk.bias", "head.weight"}
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_takes_the_place_of_a_head_and_shares_its_weight() -> None:
    case = make_case(9).to(torch.float32)
    plain = nn.Linear(WIDTH, VOCABULARY, bias=False)
    head = LMHeadPPOLoss.like(plain)
    assert head.weight is plain.weight
    states = torch.randn(2, 3, WIDTH)
    torch.testing.assert_close(head(states), plain(states), rtol=0, atol=0)
    result = head(case.hidden, *case[2:5], case.mask, denominator=4.0)
    assert isinstance(result, LinearPPO)
    expected = linear_ppo_loss(case.hidden, plain.weight, *case[2:5], case.mask, denominator=4.0)
    assert result.loss.item() == expected.loss.item()


def test_a_head_with_a_bias_is_refused() -> None:
    with pytest.raises(ValueError, match=f"head has a bias of {VOCABULARY} entries"):
        LMHeadPPOLoss.like(nn.Linear(WIDTH, VOCABULARY))
