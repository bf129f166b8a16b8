"""Train the head by an objective of your own: codes that keep similarities in few channels.

python custom_objective.py photos

An objective is a torch module that returns a loss for a batch of frozen features. Registered, it
has a name that ``objective.name`` accepts; a run that it trained segments without it.
"""

import sys
from collections.abc import Mapping

import torch
import torch.nn.functional as F

import segdistill
from segdistill import Objective, ObjectiveInputs, ObjectiveSettings, ObjectiveStep
from segdistill.model.head import SegmentationHead
from segdistill.training.batches import Batch
from segdistill.training.sampling import sample_batch
from segdistill.training.training_set import TrainingSet


class Decorrelation(Objective):
    """Keep the cosine similarities of features in codes whose channels are not correlated."""

    def __init__(self, inputs: ObjectiveInputs) -> None:
        super().__init__()
        self.settings = inputs.settings

    def losses(
        self,
        head: SegmentationHead,
        batch: Batch,
        data: TrainingSet,
        *,
        step: int,  # noqa: ARG002 - the protocol has it
    ) -> ObjectiveStep:
        """Return the loss, its two terms, and the codes that the probes learn from."""
        maps = sample_batch(head, batch, data, self.settings).anchors
        features, codes = F.normalize(maps.features, dim=2), F.normalize(maps.codes, dim=2)
        kept = (features @ features.mT - codes @ codes.mT).square().mean()
        correlation = torch.corrcoef(codes.flatten(0, 1).mT).fill_diagonal_(0.0)
        apart = correlation.square().mean()
        terms: Mapping[str, torch.Tensor] = {"kept": kept, "apart": apart}
        return ObjectiveStep(kept + apart, codes, terms=terms)


def main(photos: str) -> None:
    segdistill.register_objective("decorrelation", Decorrelation, uses=["samples"])
    settings = ObjectiveSettings(name="decorrelation")
    segmenter = segdistill.fit(photos, objective=settings, classes=4, out="runs/decorrelation")
    print(f"{len(segmenter.classes)} classes, trained by {settings.name}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
