"""The few-shot classifier against a library's."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from segdistill.teaching.classifier import LinearClassifier, fit_classifier


@pytest.fixture
def examples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(90) % 3
    features = torch.eye(3, 5)[classes] + 0.6 * torch.randn(90, 5, generator=generator)
    return features, classes


def test_agrees_with_scikit_learn(examples: tuple[torch.Tensor, torch.Tensor]) -> None:
    features, classes = examples
    weights = torch.linspace(0.5, 2, len(classes))
    penalty = 0.01
    found = fit_classifier(features, torch.eye(3)[classes], weights, penalty=penalty)
    # scikit-learn minimises the sum of losses plus half the squared norm divided by C.
    oracle = LogisticRegression(C=1 / (2 * penalty * float(weights.sum())), max_iter=1000, tol=1e-8)
    oracle.fit(features.numpy(), classes.numpy(), sample_weight=weights.numpy())
    np.testing.assert_allclose(
        found.logits(features).softmax(dim=1), oracle.predict_proba(features.numpy()), atol=2e-3
    )


def test_the_start_does_not_change_the_result(
    examples: tuple[torch.Tensor, torch.Tensor],
) -> None:
    features, classes = examples
    targets, weights = torch.eye(3)[classes], torch.ones(len(classes))
    plain = fit_classifier(features, targets, weights, penalty=0.01)
    start = LinearClassifier(torch.ones(3, 5), torch.arange(3.0))
    other = fit_classifier(features, targets, weights, penalty=0.01, start=start)
    torch.testing.assert_close(
        plain.logits(features).softmax(dim=1),
        other.logits(features).softmax(dim=1),
        atol=2e-3,
        rtol=0,
    )


def test_learns_from_soft_targets(examples: tuple[torch.Tensor, torch.Tensor]) -> None:
    features, _ = examples
    targets = torch.tensor([0.2, 0.3, 0.5]).expand(len(features), 3)
    found = fit_classifier(features, targets, torch.ones(len(features)), penalty=1.0)
    assert found.logits(features).softmax(dim=1).mean(dim=0).numpy() == pytest.approx(
        [0.2, 0.3, 0.5], abs=0.01
    )
