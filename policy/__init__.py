"""The policy: checkpoints, sampling, PPO, following a campaign, rating."""
