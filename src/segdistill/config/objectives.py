"""Settings of the objectives of later papers, each a section of the settings of the objective.

Defaults are those of the authors' released code, unless the docstring tells the released value too:
then that suits long trainings, large grids or its own features. docs/objectives.md has the reasons.
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
        temperature: temperature of the softmax over the teacher's prototypes.
        momentum: share of the teacher's prototypes that is kept in each step.
        weight_data: weight of the data term, which fits the student's prototypes.
    """

    temperature: Positive = 0.1
    momentum: Momentum = 0.998
    weight_data: NotNegative = 1.0


@dataclass(frozen=True)
class EagleSettings:
    """EAGLE: contrast between objects of eigenvectors (Kim et al., CVPR 2024).

    Attributes:
        grid: locations per side of the grid whose Laplacian is decomposed in each image (released
            code: 28); a step takes time in proportion to its sixth power.
        weight_colour: weight of colours in the Laplacian, in addition to codes.
        eigenvectors: number of eigenvectors, not counting the constant one.
        objects: number of objects of an image: clusters of its eigenvectors' values (released code:
            32 or 28 for all images of a batch).
        temperature: temperature of the contrast between objects.
        weight_intra: weight of the contrast with the objects of the same image (released code: 0
            for 200 or 380 steps; see docs/objectives.md).
        weight_inter: weight of the contrast with the objects of a neighbour (released code: the
            same).
    """

    grid: Side = 16
    weight_colour: NotNegative = 1.0
    eigenvectors: Count = 3
    objects: Size = 8
    temperature: Positive = 0.07
    weight_intra: NotNegative = 0.3
    weight_inter: NotNegative = 0.7


@dataclass(frozen=True)
class PriMaPsSettings:
    """PriMaPs-EM: class prototypes of principal masks (Hahn et al., TMLR 2024).

    Attributes:
        grid: locations per side of the grid on which masks are proposed (released code: 40, with
            patches of 8 pixels).
        similarity: cosine similarity to its anchor, from -1 to 1, above which a location is in a
            mask.
        coverage: share of the locations of an image, from 0 to 1, that its masks must cover before
            no more are added.
        masks: largest number of masks in an image (released code: no limit).
        temperature: temperature of the softmax over prototypes (released code: none, since features
            are not scaled to unit length).
        momentum: share of the teacher that is kept in an update, after it has risen to this value.
        momentum_every: steps between updates of the teacher.
        focus: exponent of the focal loss; a higher value gives less weight to classes that are
            already confident.
    """

    grid: Side = 28
    similarity: Cosine = 0.4
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
        grid: locations per side of the grid of anchors in each image (released code: 28); a step
            takes time in proportion to its fourth power.
        pool: locations of the data set in the reference pool (released code: 1024 on Potsdam).
        temperature: temperature of the contrast (released code: 0.6 on Cityscapes, 0.8 on
            COCO-Stuff, 0.4 on Potsdam).
        momentum: share of the momentum head that is kept in a step (released code: 0.99 on
            COCO-Stuff, 0.999 elsewhere, in longer training runs).
        handover: steps until task-specific positives weigh as much as task-agnostic ones (default:
            the maximum number of training steps; released code: the same, but starting after 50 to
            1000 steps).
        weight_local: weight of the contrast of codes averaged with those of adjacent locations.
    """

    grid: Side = 12
    pool: Size = 2048
    temperature: Positive = 0.6
    momentum: Momentum = 0.99
    handover: Count | None = None
    weight_local: NotNegative = 1.0


@dataclass(frozen=True)
class CauseSettings:
    """CAUSE: contrast between concepts (Kim et al., 2023).

    Attributes:
        concepts: number of vectors in the codebook (released code: 2048).
        codebook_steps: steps that maximise the modularity before the head is trained (released
            code: one pass over the data set).
        codebook_learning_rate: learning rate of these steps (Adam; released code: multiplied by the
            number of GPUs).
        positive: similarity of concepts, from -1 to 1, above which codes attract.
        negative: similarity of concepts, from -1 to 1, below which codes repel.
        temperature: temperature of the contrast.
        momentum: share of the teacher that is kept in each step.
        bank: number of codes of earlier steps in the concept bank (released code: up to 100 for
            each concept).
    """

    concepts: Size = 512
    codebook_steps: Count = 100
    codebook_learning_rate: Positive = 1e-3
    positive: Cosine = 0.3
    negative: Cosine = 0.1
    temperature: Positive = 0.07
    momentum: Momentum = 0.99
    bank: Size = 4096
