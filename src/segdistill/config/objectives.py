"""Settings of the objectives of later work, each a section of the settings of the objective.

The defaults are the papers' as far as we know them; docs/objectives.md says which are our choice.
"""

from dataclasses import dataclass
from typing import Annotated

from segdistill.config.validation import Range, at_least

Count = Annotated[int, at_least(1)]
Size = Annotated[int, at_least(2)]
Side = Annotated[int, Range("from 2 to 64", lambda side: 2 <= side <= 64)]
NotNegative = Annotated[float, at_least(0)]
Positive = Annotated[float, Range("above 0", lambda value: value > 0)]
Cosine = Annotated[float, Range("from -1 to 1", lambda value: -1 <= value <= 1)]
Share = Annotated[float, Range("from 0 to 1", lambda value: 0 <= value <= 1)]
Momentum = Annotated[float, Range("from 0 to below 1", lambda value: 0 <= value < 1)]


@dataclass(frozen=True)
class SmooSegSettings:
    """SmooSeg: smooth class assignments (Lan et al., NeurIPS 2023).

    Attributes:
        temperature: temperature of the softmax over prototypes.
        momentum: share of the teacher's prototypes that is kept in a step.
        weight_data: weight of the data term, which fits the student's prototypes.
    """

    temperature: Positive = 0.1
    momentum: Momentum = 0.998
    weight_data: NotNegative = 1.0


@dataclass(frozen=True)
class EagleSettings:
    """EAGLE: contrast between objects of eigenvectors (Kim et al., CVPR 2024).

    Attributes:
        grid: locations per side of the grid whose Laplacian is decomposed in each image (paper:
            28); a step takes time in proportion to its sixth power.
        weight_colour: weight of colours in the Laplacian, beside features.
        eigenvectors: number of eigenvectors, the constant one not counted.
        objects: clusters of the eigenvectors' values in an image, its objects.
        temperature: temperature of the contrast between objects.
        weight_intra: weight of the contrast with the objects of the same image.
        weight_inter: weight of the contrast with the objects of a neighbour.
    """

    grid: Side = 16
    weight_colour: NotNegative = 0.1
    eigenvectors: Count = 4
    objects: Size = 8
    temperature: Positive = 0.1
    weight_intra: NotNegative = 0.5
    weight_inter: NotNegative = 0.5


@dataclass(frozen=True)
class PriMaPsSettings:
    """PriMaPs-EM: class prototypes of principal masks (Hahn et al., TMLR 2024).

    Attributes:
        grid: locations per side of the grid on which masks are proposed.
        similarity: cosine similarity to its anchor, from -1 to 1, above which a location is in a
            mask.
        coverage: share of the locations of an image, from 0 to 1, at which its masks suffice.
        masks: largest number of masks in an image.
        temperature: temperature of the softmax over prototypes.
        momentum: share of the teacher that is kept in an update.
        momentum_every: steps between updates of the teacher.
        focus: exponent by which classes that are already sure weigh less.
    """

    grid: Side = 28
    similarity: Cosine = 0.35
    coverage: Share = 0.95
    masks: Count = 16
    temperature: Positive = 0.1
    momentum: Momentum = 0.98
    momentum_every: Count = 10
    focus: NotNegative = 2.0


@dataclass(frozen=True)
class HiddenPositivesSettings:
    """HP: contrast with hidden positives (Seong et al., CVPR 2023).

    Attributes:
        grid: locations per side of the grid of anchors in each image (paper: 28); a step takes
            time in proportion to its fourth power.
        pool: locations of the data set in the reference pool.
        temperature: temperature of the contrast.
        momentum: share of the momentum head that is kept in a step.
        handover: steps until positives are task-specific alone (default: the largest number of
            steps of the training).
        weight_local: weight of the contrast of codes mixed with those of adjacent locations.
    """

    grid: Side = 12
    pool: Size = 2048
    temperature: Positive = 0.1
    momentum: Momentum = 0.99
    handover: Count | None = None
    weight_local: NotNegative = 1.0


@dataclass(frozen=True)
class CauseSettings:
    """CAUSE: contrast between concepts (Kim et al., 2023).

    Attributes:
        concepts: vectors of the codebook (paper: 2048).
        codebook_steps: steps that maximise the modularity before the head is trained.
        codebook_learning_rate: learning rate of these steps (Adam).
        positive: similarity of concepts, from -1 to 1, above which codes attract.
        negative: similarity of concepts, from -1 to 1, below which codes repel.
        temperature: temperature of the contrast.
        momentum: share of the teacher that is kept in a step.
        bank: codes of earlier steps in the concept bank.
    """

    concepts: Size = 512
    codebook_steps: Count = 100
    codebook_learning_rate: Positive = 1e-3
    positive: Cosine = 0.3
    negative: Cosine = 0.1
    temperature: Positive = 0.07
    momentum: Momentum = 0.99
    bank: Size = 4096
