"""Every setting of a fit, typed, with its default and its meaning.

The command line and YAML files are read into these classes by jsonargparse, which takes the help
text of each option from the ``Attributes`` sections below.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from segdistill.errors import UserError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "32-true", "bf16-mixed"]

DEFAULT_CLASSES = 8
"""The number of classes when none is given; said plainly whenever it is used."""


@dataclass(frozen=True)
class HeadSettings:
    """The segmentation head, from feature map to code.

    Attributes:
        channels: channels of the code.
        kind: ``nonlinear`` adds a hidden layer beside the linear one (STEGO, section 3.2).
        dropout: share of feature channels dropped while training, from 0 to below 1.
    """

    channels: int = 70
    kind: Literal["nonlinear", "linear"] = "nonlinear"
    dropout: float = 0.1


@dataclass(frozen=True)
class ObjectiveSettings:
    """The correspondence loss (STEGO, equation 4 and its summary in section 3.3).

    Attributes:
        weight_self: weight of pairs within one image.
        weight_neighbour: weight of pairs with a nearest neighbour.
        weight_random: weight of pairs with random other images.
        weight_reconstruction: weight of telling the features from the code (0 leaves it out).
        weight_crf: weight of the contrastive CRF, which makes codes follow the image's edges (0
            leaves it out; decoding an image in every step makes training slower).
        shift_self: feature correlation, from -1 to 1, above which codes of one image attract; left
            out, it is set from the images so that a share of ``attract_self`` of the pairs does.
        shift_neighbour: the same for pairs with a neighbour.
        shift_random: the same for pairs with random images.
        attract_self: share of pairs within one image whose codes attract, from 0 to 1.
        attract_neighbour: the same for pairs with a neighbour.
        attract_random: the same for pairs with random images.
        feature_dropout: share of feature channels that the loss does not see, drawn anew in each
            step for each image, from 0 to below 1 (STEGO: 0.1).
        samples: places a side, so that ``samples ** 2`` places are drawn from each image.
        random_draws: random partners drawn for each image in a step.
        pointwise: centre the feature correlations over the partner's places.
        zero_clamp: leave negative code correlations out.
        stabilize: cap code correlations at 0.8.
    """

    weight_self: float = 0.67
    weight_neighbour: float = 0.25
    weight_random: float = 0.63
    weight_reconstruction: float = 0.0
    weight_crf: float = 0.0
    shift_self: float | None = None
    shift_neighbour: float | None = None
    shift_random: float | None = None
    attract_self: float = 0.5
    attract_neighbour: float = 0.5
    attract_random: float = 0.05
    feature_dropout: float = 0.0
    samples: int = 11
    random_draws: int = 5
    pointwise: bool = True
    zero_clamp: bool = True
    stabilize: bool = False


@dataclass(frozen=True)
class TrainingSettings:
    """The training loop.

    Attributes:
        steps: optimiser steps.
        batch_size: images a step.
        learning_rate: of the head (Adam).
        cluster_learning_rate: of the cluster centres (Adam).
        neighbours: a positive is drawn from this many nearest neighbours of an image.
        checkpoint_every: steps between checkpoints, from which ``--resume`` goes on.
    """

    steps: int = 400
    batch_size: int = 16
    learning_rate: float = 5e-4
    cluster_learning_rate: float = 5e-3
    neighbours: int = 7
    checkpoint_every: int = 50


@dataclass(frozen=True)
class CacheSettings:
    """The feature store.

    Attributes:
        folder: where features are kept; by default ``segdistill`` in the user's cache folder, or
            the folder named by the environment variable SEGDISTILL_CACHE.
        max_gigabytes: bound on its size (1 GB = 10**9 bytes). What does not fit is worked out
            again whenever it is needed, which is slower but gives the same result. The store
            never takes more than 80 % of the free disk.
    """

    folder: Path | None = None
    max_gigabytes: float = 20.0


@dataclass(frozen=True)
class FitSettings:
    """All settings of a fit.

    Attributes:
        dataset: benchmark whose training images ``--data-root`` holds, instead of a folder.
        classes: number of kinds of things to find.
        backbone: short name (``segdistill backbones`` lists them), hub id, local folder or .pth.
        resolution: shorter side, in pixels, of the image as the backbone sees it; by default
            what suits the backbone.
        segment_resolution: the same when segmenting; by default as in training.
        square: learn from the middle square of each image or crop, as STEGO does.
        resampling: filter by which images are resized; ``nearest`` is what STEGO's code uses.
        crops: ``five`` learns from four corner crops and a centre crop of half the side of each
            image, each brought to the resolution, so that smaller things are seen.
        components: principal components of the features that are kept (0 keeps the features as
            they are, as STEGO does): it removes noise and makes training several times faster.
        method: ``stego`` distils correspondences into a head; ``kmeans`` clusters the backbone's
            features as they are, the baseline to compare with.
        clustering: ``kmeans`` runs spherical k-means on the codes of the trained head; ``probe``
            takes the centres learned beside it by gradient, as STEGO does.
        seed: of everything drawn at random.
        strict: stop at the first image that cannot be read, instead of skipping it.
        device: where to compute.
        precision: of matrix products.
        head: the segmentation head.
        objective: the correspondence loss.
        training: the training loop.
        cache: the feature store.

    Example:
        >>> FitSettings(classes=12).training.batch_size
        16
    """

    dataset: str | None = None
    classes: int | None = None
    backbone: str = "efficientnet-lite0"
    resolution: int | None = None
    segment_resolution: int | None = None
    square: bool = False
    resampling: Literal["bicubic", "nearest"] = "bicubic"
    crops: Literal["none", "five"] = "none"
    components: int = 128
    method: Literal["stego", "kmeans"] = "stego"
    clustering: Literal["kmeans", "probe"] = "kmeans"
    seed: int = 0
    strict: bool = False
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    head: HeadSettings = field(default_factory=HeadSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)

    def validated(self) -> "FitSettings":
        """Return the settings unchanged if every number lies in its range.

        Raises:
            UserError: a number is out of its range; the message names the setting and the range.
        """
        rules = [
            ("classes", self.classes is None or 2 <= self.classes <= 255, "from 2 to 255"),
            ("resolution", self.resolution is None or self.resolution >= 32, "at least 32"),
            ("head.channels", self.head.channels >= 2, "at least 2"),
            ("head.dropout", 0 <= self.head.dropout < 1, "from 0 to below 1"),
            (
                "segment_resolution",
                self.segment_resolution is None or self.segment_resolution >= 32,
                "at least 32",
            ),
            ("components", self.components == 0 or self.components >= 2, "0 or at least 2"),
            ("objective.attract_self", 0 <= self.objective.attract_self <= 1, "from 0 to 1"),
            (
                "objective.attract_neighbour",
                0 <= self.objective.attract_neighbour <= 1,
                "from 0 to 1",
            ),
            ("objective.attract_random", 0 <= self.objective.attract_random <= 1, "from 0 to 1"),
            (
                "objective.feature_dropout",
                0 <= self.objective.feature_dropout < 1,
                "from 0 to below 1",
            ),
            ("objective.samples", self.objective.samples >= 2, "at least 2"),
            ("objective.random_draws", self.objective.random_draws >= 1, "at least 1"),
            ("training.steps", self.training.steps >= 1, "at least 1"),
            ("training.batch_size", self.training.batch_size >= 2, "at least 2"),
            ("training.learning_rate", self.training.learning_rate > 0, "above 0"),
            ("training.cluster_learning_rate", self.training.cluster_learning_rate > 0, "above 0"),
            ("training.neighbours", self.training.neighbours >= 1, "at least 1"),
            ("training.checkpoint_every", self.training.checkpoint_every >= 1, "at least 1"),
            ("cache.max_gigabytes", self.cache.max_gigabytes >= 0, "at least 0"),
            ("seed", 0 <= self.seed < 2**31, "from 0 to 2147483647"),
        ]
        for name, holds, allowed in rules:
            if not holds:
                value: Any = self
                for part in name.split("."):
                    value = getattr(value, part)
                raise UserError(f"--{name} {value}: must be {allowed}")
        return self

    def as_plain(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, fit for YAML and JSON."""
        plain = asdict(self)
        plain["cache"]["folder"] = None if self.cache.folder is None else str(self.cache.folder)
        return plain
