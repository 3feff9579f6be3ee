"""Sampling from and training of policies: plain PyTorch, no Django. This module imports no torch."""
