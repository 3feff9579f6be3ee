"""What drawing answers costs on the CPU: the linear layers of one decoding step, and whole answers.

Layers: every weight of the model once, for so many rows, by `few_rows_linear`, by PyTorch, and the floor: reading all
of them. Answers: our sampler with and without that kernel, and transformers' generate. No answer ends early.

    python benchmarks/decode.py            # SmolLM2's shape, one thread
    python benchmarks/decode.py --json results.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.candidates import gpu_ops_path
from benchmarks.measure import Company
from benchmarks.shapes import SHAPES
from benchmarks.table import machine, versions
from gpu_ops import few_rows_linear
from policy.training.sampling import Draw, Request, sample

ROWS = (1, 2, 4, 8, 16, 32, 64)
PROMPT_TOKENS, NEW_TOKENS = 16, 32
NO_EOS = -1
Runs = dict[str, Callable[[], object]]


def layers(model: LlamaForCausalLM, rows: int) -> Runs:
    weights = [m.weight.detach() for m in model.modules() if isinstance(m, torch.nn.Linear)]
    inputs = {width: torch.randn(rows, width) for width in {weight.shape[1] for weight in weights}}

    def through(function: Callable[[Tensor, Tensor], Tensor]) -> None:
        for weight in weights:
            function(inputs[weight.shape[1]], weight)

    return {
        "ours": partial(through, few_rows_linear),
        "PyTorch": partial(through, linear),
        "reading the weights": lambda: [weight.sum() for weight in weights],
    }


def answers(model: Any, rows: int) -> Runs:
    prompts = torch.randint(3, model.config.vocab_size, (rows, PROMPT_TOKENS))
    requests = [Request(prompt, (0, index)) for index, prompt in enumerate(prompts.tolist())]
    draw = Draw(max_new_tokens=NEW_TOKENS, batch_size=rows)
    settings = GenerationConfig(do_sample=True, top_k=0, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS)

    def ours(path: str) -> None:
        with gpu_ops_path(path):
            sample(model, requests, draw=draw, eos_id=NO_EOS)

    def generate() -> None:
        model.set_attn_implementation("sdpa")
        model.generate(prompts, attention_mask=torch.ones_like(prompts), generation_config=settings)

    return {"ours": partial(ours, "cpp"), "ours, PyTorch's layers": partial(ours, "torch"), "transformers": generate}


def cpu_seconds(runs: Runs, rounds: int) -> dict[str, float]:
    """Medians over interleaved rounds; the first round is thrown away."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if number:
                found[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2", choices=sorted(SHAPES), help="a shape, with random weights")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write everything there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPES[options.model], eos_token_id=1, bos_token_id=3)).eval()
    company, rows = Company(), []
    with torch.inference_mode():
        for what, make, counts, rounds in (
            ("layers", layers, ROWS, options.rounds),
            ("answers", answers, (1, 8, 32), max(3, options.rounds // 3)),
        ):
            print(f"{what}: CPU-seconds")
            for count in counts:
                told = cpu_seconds(make(model, count), rounds)
                rows.append({"what": what, "rows": count, "cpu_seconds": told})
                print(f"{count:>5}  " + "  ".join(f"{name} {seconds:.4f}" for name, seconds in told.items()))
    busy = company.cores()
    print(f"cores that others used: {busy}")
    if options.json:
        found: dict[str, Any] = {"machine": machine("cpu"), "versions": versions(), "model": options.model}
        found |= {"threads": options.threads, "busy_elsewhere": busy, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
