"""The cluster probe, against golden values."""

from functools import partial

import torch
from tests.helpers import golden

from segdistill.objective.clusters import (
    class_similarity,
    cluster_log_probabilities,
    cluster_loss,
    cluster_similarity,
    unit_vectors,
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


def test_unit_vectors_keep_every_bit_of_what_has_unit_length() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.6, 0.8], [0.6 * 1.000005, 0.8 * 1.000005], [0.0, 0.0]])
    units = unit_vectors(vectors)
    torch.testing.assert_close(units[0], torch.tensor([0.6, 0.8]))
    assert units[1:].equal(vectors[1:])
    # As far from 1 as the tolerance or farther: scaled.
    near = torch.tensor([[1.00002, 0.0], [0.99998, 0.0], [2.0, 0.0]])
    torch.testing.assert_close(unit_vectors(near), near.sign(), atol=1e-7, rtol=0)


def test_a_class_is_as_similar_as_its_most_similar_cluster() -> None:
    similarity = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    members = [(3, 0), (2,), (1, 2, 3)]
    found = class_similarity(similarity, members)
    assert found.shape == (2, 3, 3, 5)
    for number, own in enumerate(members):
        expected = similarity[:, own[0]]
        for cluster in own[1:]:
            expected = torch.maximum(expected, similarity[:, cluster])
        assert found[:, number].equal(expected)


def test_classes_that_are_the_clusters_take_no_copy() -> None:
    similarity = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert class_similarity(similarity, [(0,), (1,), (2,)]) is similarity
    assert class_similarity(similarity, [(1,), (0,), (2,)]).equal(similarity[:, [1, 0, 2]])
    assert class_similarity(similarity, [(0,), (1,)]).equal(similarity[:, :2])


def test_loss_is_minus_the_mean_of_the_largest_similarities() -> None:
    similarity = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(1))
    similarity.requires_grad_()
    loss = cluster_loss(similarity)
    torch.testing.assert_close(loss, -similarity.amax(dim=1).mean())
    (gradient,) = torch.autograd.grad(loss, similarity)
    # Only the nearest cluster of each location moves.
    nearest = torch.nn.functional.one_hot(similarity.argmax(dim=1), 4).movedim(-1, 1)
    torch.testing.assert_close(gradient, -nearest.float() / 30)


def test_probabilities_sharpen_with_alpha() -> None:
    similarity = torch.tensor([0.9, 0.1]).view(1, 2, 1, 1)
    for options, alpha in (({}, 2.0), ({"alpha": 5.0}, 5.0)):
        found = cluster_log_probabilities(similarity, **options).exp().flatten()
        torch.testing.assert_close(found[0] / found[1], torch.tensor(alpha * 0.8).exp())
