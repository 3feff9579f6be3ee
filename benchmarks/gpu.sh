#!/usr/bin/env bash
# Tests and measures on a machine with CUDA: bash benchmarks/gpu.sh [losses] [runs] [ppo], by default all.
#   losses   the fused losses' tests and tables; needs torch and triton
#   runs     the tests of training, their run directories on the GPU; needs what requirements/lock.txt pins of torch's
#            neighbours: transformers, trl, peft, accelerate, datasets
#   ppo      PPO steps on SmolLM2's shape and on a Llama of 1B random weights, beside TRL 1.12 where TRL_PPO_PYTHON names
#            an interpreter that has it; needs transformers, peft and safetensors as well
# No network, no Django. Under 9 minutes each; wheels of peers and pytest in benchmarks/wheels are used, TRL 1.12's in
# benchmarks/wheels/ppo.
# JSON goes to ${OUT:-benchmarks/results}, everything else to stdout.
# The exit status is 0 only where the tests ran without a failure and all tables were measured whole.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python}
OUT=${OUT:-benchmarks/results}
PART_SECONDS=520
status=0
mkdir -p "$OUT"
extra=$(mktemp -d)
trap 'rm -rf "$extra"' EXIT

fail() {
    echo "gpu.sh: $1"
    status=1
}

left() {
    echo $((PART_SECONDS - SECONDS + began))
}

"$PYTHON" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || {
    echo "gpu.sh: PyTorch finds no GPU here; benchmarks/fused_loss.py --device cpu measures the CPU."
    exit 2
}
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true

# Wheels beside this script (pytest, peers) go to a folder of this run's own; torch and triton stay as they are.
shopt -s nullglob
for wheel in benchmarks/wheels/*.whl; do
    case $(basename "$wheel") in torch-* | triton-*) continue ;; esac
    "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$extra" "$wheel" || echo "gpu.sh: left out $wheel"
done
export PYTHONPATH="$extra${PYTHONPATH:+:$PYTHONPATH}"

# TRL 1.12, the last with PPO, must not stand in the way of the one that the losses are measured against.
if [ -z "${TRL_PPO_PYTHON:-}" ] && "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$extra/ppo" \
    benchmarks/wheels/ppo/*.whl 2>/dev/null; then
    printf '#!/bin/sh\nPYTHONPATH="%s/ppo:$PYTHONPATH" exec "%s" "$@"\n' "$extra" "$(command -v "$PYTHON")" >"$extra/trl-ppo-python"
    chmod +x "$extra/trl-ppo-python"
    export TRL_PPO_PYTHON=$extra/trl-ppo-python
fi

"$PYTHON" gpu_ops/cpp/build.py

test_losses() {
    if ! "$PYTHON" -c 'import pytest' 2>/dev/null; then
        fail "pytest is neither installed nor in benchmarks/wheels: the tests are left out."
    elif [ ! -e gpu_ops/tests/test_gpu.py ]; then
        fail "gpu_ops/tests/test_gpu.py is not there: the tests are left out."
    else
        # Neither the project's pytest options nor its root conftest.py: both want Django.
        timeout 200 "$PYTHON" -m pytest -c /dev/null --rootdir . --confcutdir gpu_ops -p no:cacheprovider \
            -p no:django -q -ra --durations 5 gpu_ops/tests/test_gpu.py 2>&1 || fail "the tests failed (exit status $?)."
    fi
}

table() { # table SIZE SECONDS FILE ARGUMENTS...
    local size=$1 seconds=$2 file=$3
    shift 3
    timeout "$seconds" "$PYTHON" benchmarks/fused_loss.py --device cuda --dtype bfloat16 --sizes "$size" \
        --rounds 20 --warm-up 5 --budget 12 --limit $((seconds - 45)) --json "$OUT/$file.json" "$@" 2>&1
}

measure() { # measure SIZE SECONDS OPS...: a peer that kills the process must not take ours with it
    local size=$1 seconds=$2 before=$SECONDS
    shift 2
    table "$size" "$seconds" "cuda-$size" --ops "$@" && return
    fail "the table at $size stopped (exit status $?); once more without peers."
    seconds=$((seconds - SECONDS + before))
    [ "$seconds" -gt 60 ] || { echo "gpu.sh: no time is left for that."; return; }
    table "$size" "$seconds" "cuda-$size-no-peers" --ops "$@" --no-peers || fail "the table at $size stopped without peers as well."
}

test_runs() { # on one GPU: processes that train together need one each
    local workers=() timeout=()
    "$PYTHON" -c 'import xdist' 2>/dev/null && workers=(-n 8 --dist worksteal)
    "$PYTHON" -c 'import pytest_timeout' 2>/dev/null && timeout=(--timeout 120)
    TEST_DEVICE=cuda OMP_NUM_THREADS=1 timeout 500 "$PYTHON" -m pytest -c /dev/null --rootdir . --confcutdir policy \
        -p no:cacheprovider -p no:django -q -ra --durations 5 "${workers[@]}" "${timeout[@]}" \
        -k "not ranks and not sharded and not processes and not explain" \
        policy/training/tests reward/training/tests 2>&1 || fail "the tests of training failed (exit status $?)."
}

ppo() { # ppo MODEL SECONDS ARGUMENTS...
    local model=$1 seconds=$2
    shift 2
    timeout "$seconds" "$PYTHON" benchmarks/ppo_step.py --model "$model" --device cuda --bfloat16 "$@" \
        --json 2>&1 >"$OUT/cuda-ppo-step-$model.json" || fail "PPO on $model stopped (exit status $?)."
}

[ $# -gt 0 ] || set -- losses runs ppo
for part in "$@"; do
    began=$SECONDS
    case $part in
        losses)
            test_losses
            measure 8192x4096x128256 $(($(left) * 6 / 10)) linear_ppo_loss linear_logp cross_entropy gae
            measure 8192x2048x151936 "$(left)" linear_ppo_loss linear_logp cross_entropy
            ;;
        runs) test_runs ;;
        ppo)
            ppo smollm2 200 --batch 64 --prompt-tokens 128 --new-tokens 128
            ppo llama1b 320 --batch 32 --prompt-tokens 128 --new-tokens 128
            ;;
        *) fail "no part is called $part (losses, runs, ppo)." ;;
    esac
done
echo "gpu.sh: results are in $OUT; $SECONDS seconds."
exit "$status"
