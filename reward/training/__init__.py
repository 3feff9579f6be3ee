"""Training and evaluation of reward models: plain PyTorch, no Django."""
