"""Random numbers that depend on what they are for, not on what was drawn before: nothing to save, nothing to replay."""

from __future__ import annotations

import hashlib

import torch


def derived_seed(*key: int | str) -> int:
    """A 63-bit seed from a path of names and numbers, such as (seed, "act", step)."""
    text = "/".join(map(str, key)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator seeded by `key`."""
    return torch.Generator().manual_seed(derived_seed(*key))
