"""What a PPO run will need: memory by part, seconds by phase. Imports no torch: forms estimate with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from policy.training.config import PPOConfig
from reward.training import footprint
from reward.training.estimate import Estimate, Phase, gettext_noop
from reward.training.footprint import FLOAT, Part
from reward.training.shape import Shape
from reward.training.speed import Speed

SMALLER_PPO = gettext_noop(
    "train adapters (lora.rank), train fewer layers (train_layers), or let the values share the trunk (value_network)"
)
"""What makes a run need less, said where it cannot fit."""

BFLOAT16 = 2
"""Bytes of a bfloat16."""
CHUNK_ROWS = 512
"""Tokens whose logits the fused losses hold at once on a CPU (gpu_ops.projection)."""
CHOICES = 12
"""Bytes a logit while a token is drawn: as probability in float32 and as cumulated probability in float64."""


class PromptData(NamedTuple):
    """Tokens of each prompt of the two splits. Without validation prompts the train prompts choose the weights."""

    train: Sequence[int]
    validation: Sequence[int]

    @property
    def evaluated(self) -> Sequence[int]:
        return self.validation or self.train


class Models(NamedTuple):
    """The sizes of what a PPO run reads."""

    policy: Shape
    reward: Shape


def estimate_ppo(
    models: Models,
    config: PPOConfig,
    data: PromptData | None,
    speed: Speed | None,
    *,
    has_bfloat16: bool = False,
    maps_weights: bool = True,
) -> Estimate:
    """Of a run of kind `policy.ppo` whose answers are all as long as they may be.

    Args:
        data: None where it is not known.
        speed: in the precision of the run; None where it is not known.
        has_bfloat16: what the precision `auto` means on the machine.
        maps_weights: what is only read now and then is in memory only then, as on a CPU.
    """
    phases = None if data is None or speed is None else _phases(models, config, data, speed)
    parts = ppo_memory(models, config, data, has_bfloat16=has_bfloat16, maps_weights=maps_weights)
    return Estimate(parts=parts, phases=phases)


def ppo_memory(
    models: Models,
    config: PPOConfig,
    data: PromptData | None = None,
    *,
    has_bfloat16: bool = False,
    maps_weights: bool = True,
) -> list[Part]:
    """data: None counts only what does not depend on it."""
    held, read = _held(models, config, has_bfloat16), _read(models, config)
    if not maps_weights:
        held, read = [*held, *read], []
    trained = _trained_policy(models.policy, config)
    training = footprint.training(trained + _trained_value(models, config))
    _gradients, moments = training
    if data is None:
        return footprint.peak(held, [training, *([moments, part] for part in read)])
    chosen = Part("chosen", FLOAT * trained)
    learn = [*training, chosen, *_learn(models, config, data)]
    # The gradients are gone by then; the better weights are copied before the ones chosen so far are let go.
    copies = 3 if config.update.average_decay is not None else 2
    chosen_and_better = Part("chosen", copies * chosen.num_bytes)
    cache = Part("cache", _cache(models.policy, config, data))
    evaluate = [[moments, chosen_and_better, part] for part in (cache, *read)]
    return footprint.peak(held, [learn, *evaluate])


def _held(models: Models, config: PPOConfig, has_bfloat16: bool) -> list[Part]:
    """What is there all the time, of whatever data."""
    policy, adapted = models.policy, config.lora.rank is not None
    rounded = _wants_bfloat16(config.rollout_weights, has_bfloat16)
    averages = config.update.average_decay is not None
    return [
        Part("program", footprint.PROGRAM_BYTES),
        footprint.weights("model", policy.total + (_trained_policy(policy, config) if adapted else 0)),
        footprint.weights("value_network", _value_shape(models, config).backbone if _has_value_network(config) else 0),
        footprint.weights("rounded_copy", policy.total if rounded else 0, size=BFLOAT16),
        footprint.weights("average", _trained_policy(policy, config) if averages else 0),
    ]


def _read(models: Models, config: PPOConfig) -> list[Part]:
    """What is only read, and one after the other."""
    adapted = config.lora.rank is not None
    return [
        footprint.weights("reward_model", models.reward.backbone),
        footprint.weights("reference", 0 if adapted else models.policy.top(config.train_layers)),
    ]


def _learn(models: Models, config: PPOConfig, data: PromptData) -> list[Part]:
    """What a micro-batch needs on its way back. Policy and value network go one after the other."""
    policy = models.policy
    rows = min(config.update.micro_batch_size, config.answers_per_step // config.update.mini_batches)
    tokens = rows * _padded(config, data, rows)
    kept = footprint.activations(policy, layers=_trained_layers(policy, config), tokens=tokens)
    if _has_value_network(config):
        value = _value_shape(models, config)
        kept = max(kept, footprint.activations(value, layers=_trained_layers(value, config), tokens=tokens))
    below = config.answers_per_step * _padded(config, data, rows) * policy.width * FLOAT
    trains_head = config.train_layers is None and config.lora.rank is None
    chunk = min(CHUNK_ROWS, rows * config.max_new_tokens) * policy.vocabulary
    return [
        Part("activations", round(kept + (0 if config.train_layers is None else below))),
        Part("head", FLOAT * (chunk + (policy.embedding if trains_head else 0))),
    ]


def _cache(policy: Shape, config: PPOConfig, data: PromptData) -> int:
    """Keys and values of the answers that are drawn side by side on validation prompts, and their logits."""
    count = len(data.evaluated) * config.eval_answers_per_prompt
    rows = min(max(32, config.answers_per_step), max(count, config.answers_per_step))
    positions = max(*data.train, *data.evaluated) + config.max_new_tokens
    return FLOAT * rows * positions * 2 * policy.layers * policy.keys + CHOICES * rows * policy.vocabulary


def _phases(models: Models, config: PPOConfig, data: PromptData, speed: Speed) -> list[Phase]:
    steps, epochs, answers = config.steps, config.update.epochs, config.answers_per_step
    rows = min(config.update.micro_batch_size, answers // config.update.mini_batches)
    length = _padded(config, data, rows)
    policy, passes = models.policy, answers / rows
    told = _forward(policy, config, speed, rows, length) + _head(policy, config, speed, rows, products=1)
    value = _value_seconds(models, config, speed, rows, length)
    trained = _trained_layers(policy, config) / policy.layers
    back = 2 * trained * speed.forward(policy, sequences=rows, length=length)
    learned = 1.5 * back + _head(policy, config, speed, rows, products=3) + value.learn
    update = speed.update(_trained_policy(policy, config) + _trained_value(models, config))
    act = _draw(policy, config, speed, answers, config.prompts_per_step, _mean(data.train))
    score = passes * speed.forward(models.reward, sequences=rows, length=_mean(data.train) + config.max_new_tokens)
    judge = passes * (2 * told + value.judge)
    evaluations = 1 + -(-steps // config.eval_every)
    measured = len(data.evaluated) * config.eval_answers_per_prompt
    side_by_side = min(max(32, answers), measured)
    drawn = _draw(policy, config, speed, side_by_side, side_by_side, _mean(data.evaluated)) / side_by_side
    each = drawn + (judge + score) / answers
    return [
        Phase("act", steps * act),
        Phase("score", steps * score),
        Phase("judge", steps * judge),
        Phase("learn", steps * epochs * (passes * learned + config.update.mini_batches * update)),
        Phase("evaluate", evaluations * measured * each),
    ]


class _ValueSeconds(NamedTuple):
    """Of one micro-batch by a value network of its own."""

    judge: float
    learn: float


def _value_seconds(models: Models, config: PPOConfig, speed: Speed, rows: float, length: float) -> _ValueSeconds:
    if not _has_value_network(config):
        return _ValueSeconds(0.0, 0.0)
    shape = _value_shape(models, config)
    forward = speed.forward(shape, sequences=rows, length=length)
    return _ValueSeconds(forward, forward * (1 + 2 * _trained_layers(shape, config) / shape.layers))


def _forward(policy: Shape, config: PPOConfig, speed: Speed, rows: float, length: float) -> float:
    """Through the policy, of which the reference shares what is frozen: that is computed once for both."""
    whole = speed.forward(policy, sequences=rows, length=length)
    if config.train_layers is None:
        return whole
    top = _trained_layers(policy, config) / policy.layers
    return whole * (top + (1 - top) / 2)


def _head(policy: Shape, config: PPOConfig, speed: Speed, rows: float, *, products: int) -> float:
    """The language-model head over the answers' tokens: one product forward, two more for the gradients."""
    return products * speed.product(policy.embedding, tokens=rows * config.max_new_tokens)


def _draw(policy: Shape, config: PPOConfig, speed: Speed, answers: float, prompts: float, length: float) -> float:
    """Each prompt once, then a token of every answer at a time."""
    prefill = speed.forward(policy, sequences=prompts, length=length)
    middle = length + config.max_new_tokens / 2
    token = speed.forward(policy, sequences=answers, length=middle, new=1)
    return prefill + config.max_new_tokens * (token + speed.product(policy.embedding, tokens=answers))


def _padded(config: PPOConfig, data: PromptData, rows: int) -> float:
    """Tokens to which a micro-batch is padded: its longest prompt and an answer of full length, but for the last."""
    return footprint.greatest_of(data.train, rows) + config.max_new_tokens - (not config.credit.bootstrap_truncated)


def _mean(lengths: Sequence[int]) -> float:
    return sum(lengths) / len(lengths)


def _trained_layers(shape: Shape, config: PPOConfig) -> int:
    return shape.layers if config.train_layers is None else min(config.train_layers, shape.layers)


def _trained_policy(policy: Shape, config: PPOConfig) -> int:
    if config.lora.rank is not None:
        return policy.adapters(config.lora.rank, config.train_layers)
    return policy.top(config.train_layers)


def _has_value_network(config: PPOConfig) -> bool:
    return config.value_network != "shared"


def _value_shape(models: Models, config: PPOConfig) -> Shape:
    return models.reward if config.value_network == "reward-model" else models.policy


def _trained_value(models: Models, config: PPOConfig) -> int:
    if not _has_value_network(config):
        return 0
    shape = _value_shape(models, config)
    return shape.backbone if config.train_layers is None else shape.top(config.train_layers)


def _wants_bfloat16(choice: str, has_bfloat16: bool) -> bool:
    return has_bfloat16 if choice == "auto" else choice.startswith("bfloat16")
