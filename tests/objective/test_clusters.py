"""The cluster probe, against golden values."""

from functools import partial

import torch
from tests.helpers import golden

from segdistill.objective.clusters import (
    cluster_log_probabilities,
    cluster_loss,
    cluster_similarity,
)

assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)


def test_loss_and_probabilities_are_golden() -> None:
    values = golden("cluster_probe")
    similarity = cluster_similarity(values["code"], values["clusters"])
    assert_close(cluster_loss(similarity), torch.tensor(values["hard_loss"]))
    log_probabilities = cluster_log_probabilities(similarity, alpha=values["alpha"])
    assert_close(log_probabilities, values["log_probs"])
    assert_close(log_probabilities.exp(), values["soft_probs"])


def test_similarity_does_not_depend_on_length() -> None:
    codes, centres = torch.randn(1, 4, 2, 3), torch.randn(5, 4)
    torch.testing.assert_close(
        cluster_similarity(codes * 7, centres * 0.2), cluster_similarity(codes, centres)
    )


def test_loss_moves_centres_towards_codes() -> None:
    codes = torch.tensor([1.0, 0.2]).view(1, 2, 1, 1)
    centres = torch.tensor([[0.6, 0.8]], requires_grad=True)
    before = cluster_similarity(codes, centres).item()
    loss = cluster_loss(cluster_similarity(codes, centres))
    (gradient,) = torch.autograd.grad(loss, centres)
    after = cluster_similarity(codes, centres.detach() - 0.1 * gradient).item()
    assert after > before
