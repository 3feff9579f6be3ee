"""What a reward model has to beat: judges that read no meaning, fitted to the same preferences with scikit-learn.

Each gives every held-out answer a value; the answer with the higher value is predicted to be preferred. Ties say
nothing to them, every labeler's word counts once, and their penalty is chosen by cross-validation over training
prompts: a floor without its chance would be no floor. The third floor, length, is `evaluation.length_floor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.preprocessing import StandardScaler

from reward.training.evaluation import Numbers
from reward.training.groups import Answer, Group

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Candidates for C, the inverse of the L2 penalty."""
FOLDS = 5
MAX_ITERATIONS = 2000


class Differences(NamedTuple):
    """Stated preferences. first, second: rows of answers laid end to end; outcome: 1 or -1; prompt: the group."""

    first: np.ndarray[Any, np.dtype[np.int64]]
    second: np.ndarray[Any, np.dtype[np.int64]]
    outcome: np.ndarray[Any, np.dtype[np.int64]]
    prompt: np.ndarray[Any, np.dtype[np.int64]]


def bag_of_words(train: Sequence[Group], heldout: Sequence[Group]) -> list[Numbers]:
    """[answers] per held-out group: a linear function of the tf-idf of an answer's tokens, wherever they stand."""
    vectorizer = TfidfVectorizer(analyzer=_tokens, sublinear_tf=True)
    fitted = vectorizer.fit_transform(_answers(train))
    weights = _fit(fitted, _differences(train))
    return _split(vectorizer.transform(_answers(heldout)) @ weights, heldout)


def linear_probe(
    train: Sequence[Group], heldout: Sequence[Group], train_features: Numbers, heldout_features: Numbers
) -> list[Numbers]:
    """[answers] per held-out group: a linear function of the base model's last hidden state, [answers laid out, D]."""
    scaler = StandardScaler()
    weights = _fit(scaler.fit_transform(train_features), _differences(train))
    return _split(scaler.transform(heldout_features) @ weights, heldout)


def _tokens(answer: Answer) -> list[int]:
    return answer.tokens


def _answers(groups: Sequence[Group]) -> list[Answer]:
    return [answer for group in groups for answer in group.answers]


def _differences(groups: Sequence[Group]) -> Differences:
    rows, offset = [], 0
    for number, group in enumerate(groups):
        rows += [(offset + p.first, offset + p.second, p.outcome, number) for p in group.pairs if p.outcome]
        offset += len(group.answers)
    return Differences(*np.array(rows, dtype=np.int64).reshape(-1, 4).T)


def _fit(features: Any, said: Differences) -> Numbers:
    """[D] weights of a logistic regression without intercept on differences, each seen from both sides."""
    gap = features[said.first] - features[said.second]
    both = sparse.vstack([gap, -gap]).tocsr() if sparse.issparse(gap) else np.concatenate([gap, -gap])
    wins, prompts = np.concatenate([said.outcome, -said.outcome]), np.tile(said.prompt, 2)
    model = LogisticRegression(fit_intercept=False, max_iter=MAX_ITERATIONS)
    folds = min(FOLDS, len(set(said.prompt.tolist())))
    if folds > 1:
        search = GridSearchCV(model, {"C": PENALTIES}, scoring="neg_log_loss", cv=GroupKFold(folds))
        model = search.fit(both, wins, groups=prompts).best_estimator_
    else:
        model.fit(both, wins)
    weights: Numbers = model.coef_[0]
    return weights


def _split(values: Numbers, groups: Sequence[Group]) -> list[Numbers]:
    ends = np.cumsum([len(group.answers) for group in groups])
    return np.split(np.asarray(values, dtype=np.float64), ends[:-1])
