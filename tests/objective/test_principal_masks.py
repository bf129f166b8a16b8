"""Principal masks and their classes against loops and known principal components."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective.principal_masks import (
    class_confidence,
    focal_loss,
    mask_classes,
    principal_direction,
    principal_masks,
    rising_momentum,
)


def masks_by_loops(features: torch.Tensor, similarity: float, coverage: float) -> list[int]:
    """Return the mask of each location of one image, by an exact decomposition."""
    masks = [-1] * len(features)
    for number in range(16):
        left = [p for p, mask in enumerate(masks) if mask == -1]
        if len(left) / len(masks) <= 1 - coverage:
            break
        centred = features[left] - features[left].mean(dim=0)
        direction = torch.linalg.svd(centred, full_matrices=False).Vh[0]
        along = [abs(float(torch.cosine_similarity(features[p], direction, 0))) for p in left]
        anchor = left[along.index(max(along))]
        for p in left:
            if (
                p == anchor
                or torch.cosine_similarity(features[p], features[anchor], 0) > similarity
            ):
                masks[p] = number
    return masks


@given(seed=st.integers(0, 10**6), similarity=st.sampled_from([0.0, 0.35, 0.8]))
@settings(max_examples=15, deadline=None)
def test_masks_are_those_of_an_exact_decomposition(seed: int, similarity: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    # One direction stands out, so that the power iteration has converged.
    centres = torch.tensor([[9.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 1.5]]).double()
    kinds = torch.arange(12) % 3
    noise = 0.05 * torch.randn(12, 3, generator=generator, dtype=torch.float64)
    features = centres[kinds] + noise
    found = principal_masks(features[None], similarity, coverage=1.0)[0].tolist()
    assert found == masks_by_loops(features, similarity, 1.0)
    if similarity:  # below which noise decides
        assert len(set(zip(found, kinds.tolist(), strict=True))) == 3


def test_the_first_component_is_that_of_an_exact_decomposition() -> None:
    features = torch.randn(40, 5, dtype=torch.float64) * torch.tensor([5.0, 1, 1, 1, 1]) + 30
    expected = torch.linalg.svd(features - features.mean(dim=0)).Vh[0]
    assert abs(float(principal_direction(features) @ expected)) > 0.999
    assert principal_direction(torch.ones(4, 3)).tolist() == [0, 0, 0]


def test_images_of_a_batch_have_the_masks_of_each_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    # One, two and three kinds.
    kinds = torch.arange(60) % torch.arange(1, 4)[:, None]
    features = 9 * torch.eye(8)[kinds] + torch.randn(3, 60, 8, generator=generator)
    together = principal_masks(features, 0.5, coverage=0.9)
    assert len(set(together.max(dim=1).values.tolist())) == 3
    for image in range(3):
        alone = principal_masks(features[image : image + 1], 0.5, coverage=0.9)
        assert torch.equal(together[image], alone[0])


def test_masks_end_at_the_coverage_and_at_the_largest_number() -> None:
    features = torch.eye(10)[None] * torch.arange(1, 11)[:, None]
    assert int((principal_masks(features, 0.5, coverage=0.3)[0] >= 0).sum()) == 3
    assert int((principal_masks(features, 0.5, coverage=1.0, most=4)[0] >= 0).sum()) == 4
    same = torch.ones(1, 6, 3)
    assert principal_masks(same, 0.5).tolist() == [[0] * 6]


def test_a_mask_has_one_class() -> None:
    scores = torch.rand(2, 7, 3)
    masks = torch.tensor([[0, 0, 1, 1, 2, -1, 2], [0, -1, -1, 0, 0, 0, 0]])
    found = mask_classes(scores, masks)
    for image in range(2):
        for mask in set(masks[image].tolist()):
            own = masks[image] == mask
            votes = [int(each.argmax()) for each in scores[image][own]]
            expected = -1 if mask == -1 else max(range(3), key=votes.count)
            assert set(found[image][own].tolist()) == {expected}
    assert mask_classes(scores[:1], torch.full((1, 7), -1)).tolist() == [[-1] * 7]


@given(seed=st.integers(0, 10**6), focus=st.sampled_from([0.0, 1.0, 2.0]))
@settings(max_examples=10, deadline=None)
def test_the_focal_loss_is_that_of_loops(seed: int, focus: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 3, generator=generator)
    classes = torch.randint(-1, 3, (2, 4), generator=generator)
    probabilities = logits.softmax(dim=2).flatten(0, 1).tolist()
    confidence = class_confidence(logits)
    for k in range(3):
        expected = sum(p[k] for p in probabilities) / 8
        assert math.isclose(confidence[k].item(), expected, abs_tol=1e-6)
    terms = [
        -((1 - confidence[k].item()) ** focus) * math.log(p[k])
        for p, k in zip(probabilities, classes.flatten().tolist(), strict=True)
        if k >= 0
    ]
    expected = sum(terms) / 8
    found = focal_loss(logits, classes, confidence, focus)
    assert math.isclose(found.item(), expected, rel_tol=1e-4, abs_tol=1e-6)


def test_the_confidence_has_no_gradient() -> None:
    assert not class_confidence(torch.randn(1, 2, 3, requires_grad=True)).requires_grad


def test_the_teacher_is_at_first_the_mean_of_the_students_states() -> None:
    states = torch.randn(20, dtype=torch.float64).tolist()
    teacher = 9.0
    for update, state in enumerate(states, start=1):
        kept = rising_momentum(update, 0.98)
        teacher = kept * teacher + (1 - kept) * state
        # The second state counts for the first too.
        mean = sum([states[min(update, 2) - 1], *states[1:update]]) / update
        assert math.isclose(teacher, mean, abs_tol=1e-9)
    momenta = [rising_momentum(update, 0.9) for update in range(1, 30)]
    assert momenta == sorted(momenta)
    assert momenta[-1] == 0.9
