"""The few-shot classifier: multinomial logistic regression on the frozen features of cells."""

from dataclasses import dataclass

import torch

PENALTY = 1.5e-5
ITERATIONS = 60


@dataclass(frozen=True)
class LinearClassifier:
    """A linear map from features to logits.

    Attributes:
        weight: shape (classes, channels).
        bias: shape (classes,).
        taught: number of classes that were taught, the first ones; the others are clusters that
            stay as they are. By default all.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    taught: int | None = None

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits: (cells, channels) to (cells, classes)."""
        return torch.addmm(self.bias, features, self.weight.mT)


def fit_classifier(
    features: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    *,
    penalty: float = PENALTY,
    start: LinearClassifier | None = None,
) -> LinearClassifier:
    """Fit a multinomial logistic regression with L-BFGS.

    It minimises the weighted mean cross-entropy plus ``penalty`` times the squared norm of the
    weight matrix, a convex problem, so the start only affects how long it takes.

    Args:
        features: shape (cells, channels), float32.
        targets: probabilities of the classes of each cell, shape (cells, classes), float32.
        weights: weight of each cell, shape (cells,), positive.
        penalty: strength of the regularisation.
        start: classifier to start from; by default all zeros.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> targets = torch.eye(2)[[0, 0, 1]]
        >>> made = fit_classifier(features, targets, torch.ones(3))
        >>> made.logits(features).argmax(dim=1).tolist()
        [0, 0, 1]
    """
    classes, channels = targets.shape[1], features.shape[1]
    weight, bias = torch.zeros(classes, channels), torch.zeros(classes)
    if start is not None and start.weight.shape == weight.shape:
        weight, bias = start.weight.clone(), start.bias.clone()
    weight.requires_grad_(), bias.requires_grad_()
    shares = weights / weights.sum()
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = torch.addmm(bias, features, weight.mT)
        entropy = -(logits.log_softmax(dim=1) * targets).sum(dim=1)
        total = (entropy * shares).sum() + penalty * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    return LinearClassifier(weight.detach(), bias.detach())
