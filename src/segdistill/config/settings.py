"""Every setting of a fit, typed, with its default and its meaning.

The command line and YAML files are read into these classes by jsonargparse, which takes the help
text of each option from the ``Attributes`` sections below.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from segdistill.config.validation import FIT_RANGES, check_ranges, refuse, typed

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "32-true", "bf16-mixed"]

DEFAULT_CLASSES = 8
"""The number of classes when none is given and none is found; said plainly whenever it is used."""

MOST_STEPS = 1000
"""The most steps of a training that ends by itself."""


@dataclass(frozen=True)
class HeadSettings:
    """The segmentation head, from feature map to code.

    Attributes:
        channels: channels of the code.
        kind: ``nonlinear`` adds a hidden layer beside the linear one (STEGO, section 3.2).
        dropout: share of feature channels dropped while training, from 0 to below 1.
        continuous: ``false`` gives the code one channel a class, whatever ``channels`` says (an
            ablation of STEGO's).
    """

    channels: int = 70
    kind: Literal["nonlinear", "linear"] = "nonlinear"
    dropout: float = 0.1
    continuous: bool = True


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
        weight_alignment: weight of giving an image and its augmented copy (mirrored, cropped, in
            other colours, blurred) the same codes (0 leaves it out).
        augmentations: augmented copies kept of each image for that; a step takes one of them.
        correlations: ``labels`` puts the agreement of labels in the place of the features': an
            oracle that shows what the loss could reach at best. It needs labels.
        shift_self: feature correlation, from -1 to 1, above which codes of one image attract; left
            out, it is set from the images so that a share of ``attract_self`` of the pairs does.
        shift_neighbour: the same for pairs with a neighbour.
        shift_random: the same for pairs with random images.
        attract_self: share of pairs within one image whose codes attract, from 0 to 1.
        attract_neighbour: the same for pairs with a neighbour.
        attract_random: the same for pairs with random images.
        feature_dropout: share of feature channels that the loss does not see, drawn anew in each
            step for each image, from 0 to below 1 (STEGO: 0.1).
        samples: locations a side, so that ``samples ** 2`` locations are drawn from each image.
        random_draws: random partners drawn for each image in a step.
        pointwise: centre the feature correlations over the partner's locations.
        zero_clamp: leave negative code correlations out.
        stabilize: cap code correlations at 0.8.
    """

    weight_self: float = 0.67
    weight_neighbour: float = 0.25
    weight_random: float = 0.63
    weight_reconstruction: float = 0.0
    weight_crf: float = 0.0
    weight_alignment: float = 0.0
    augmentations: int = 4
    correlations: Literal["features", "labels"] = "features"
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
class DepthSettings:
    """Depth as a guide while training (Sick et al., DepthG, CVPR 2024); segmenting never needs it.

    Attributes:
        folder: depth maps of the images' names; a folder given turns the guide on.
        guide: ``auto`` guides if ``folder`` is given; ``on`` also takes a benchmark's own depth and
            stops where there is none; ``off`` never guides.
        kind: what larger numbers in depth maps mean: ``depth`` farther, ``inverse`` nearer,
            ``height`` higher, seen from above. Left out: as ``depth.json`` beside the maps says,
            else ``depth``.
        invalid: number in depth maps that means 'not measured', such as 0.
        field_of_view: of the camera, from left to right, in degrees.
        space: in which locations are near or far: ``metric`` as in DepthG, or ``perspective``, by
            direction and ratio of depths, in which a far sky does not draw nearly all locations.
        similarity: of the depths of two locations: ``product`` as in DepthG, by ``difference`` of
            depth, or by ``distance`` in space.
        weight: of pairs within one image whose depths, not features, say which codes attract.
        shift: depth similarity, from 0 to 1, above which codes attract. Left out, it is 0.03 for
            ``product``, as in DepthG, and else what half of the pairs exceed.
        sampling: where locations are drawn: at ``random``; ``farthest`` from each other in space, as
            in DepthG; ``farthest-mixed`` in space and features; or evenly over the ``histogram``
            of depth.
        hidden_positives: a second head learns from codes averaged over locations near in space
            (``depth``), of like features (``features``), or that the backbone's last block attends
            to (``attention``; only a vision transformer, which then runs in every step).
        weight_hidden_positives: of the losses of that second head.
        schedule: how weight, shift and samples change: ``exponential`` multiplies by a factor after
            each period, ``linear`` goes to the start times the factor within one period.
        weight_factor: of ``weight``; 1 leaves it as it is.
        weight_every: steps of a period of ``weight``.
        weight_minimum: below which ``weight`` does not fall.
        shift_factor: of ``shift``.
        shift_every: steps of a period of ``shift``.
        shift_minimum: below which ``shift`` does not fall.
        samples_factor: of ``objective.samples``.
        samples_every: steps of a period of ``objective.samples``.
        samples_minimum: below which ``objective.samples`` does not fall.
        as_released: do all that DepthG's released code does otherwise than its paper, to compare.
    """

    folder: Path | None = None
    guide: Literal["auto", "on", "off"] = "auto"
    kind: Literal["depth", "inverse", "height"] | None = None
    invalid: float | None = None
    field_of_view: float = 60.0
    space: Literal["metric", "perspective"] = "metric"
    similarity: Literal["product", "difference", "distance"] = "product"
    weight: float = 0.16
    shift: float | None = None
    sampling: Literal["random", "farthest", "farthest-mixed", "histogram"] = "random"
    hidden_positives: Literal["none", "depth", "features", "attention"] = "none"
    weight_hidden_positives: float = 0.3
    schedule: Literal["exponential", "linear"] = "exponential"
    weight_factor: float = 1.0
    weight_every: int = 300
    weight_minimum: float = 0.0
    shift_factor: float = 1.0
    shift_every: int = 300
    shift_minimum: float = 0.0
    samples_factor: float = 1.0
    samples_every: int = 1000
    samples_minimum: int = 4
    as_released: bool = False


@dataclass(frozen=True)
class TrainingSettings:
    """The training loop.

    Attributes:
        steps: optimiser steps. Left out, training ends when codes no longer get better, which is
            told from the images alone, after 1000 steps at the latest; the best codes are kept.
        batch_size: images a step.
        learning_rate: of the head (Adam).
        cluster_learning_rate: of the cluster centres (Adam).
        neighbours: a positive is drawn from this many nearest neighbours of an image.
        checkpoint_every: steps between checkpoints, from which ``--resume`` goes on; where that
            takes longer than 10 seconds, there are more.
        reset_probes_every: steps after which the cluster centres and the linear probe start anew,
            so that they follow codes that have changed (left out: never).
        linear_probe: also train a linear probe beside the head, as STEGO does; it needs labels,
            and changes nothing but what is reported.
    """

    steps: int | None = None
    batch_size: int = 16
    learning_rate: float = 5e-4
    cluster_learning_rate: float = 5e-3
    neighbours: int = 7
    checkpoint_every: int = 50
    reset_probes_every: int | None = None
    linear_probe: bool = False

    @property
    def most_steps(self) -> int:
        """The number of steps after which training ends at the latest."""
        return MOST_STEPS if self.steps is None else self.steps


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
        classes: number of kinds of things to find; left out, it is estimated from the codes.
        extra_clusters: clusters beside those; when scored, those that match no label class count
            as wrong.
        backbone: short name (``segdistill backbones`` lists them), hub id, local folder or .pth.
        resolution: shorter side, in pixels, of the image as the backbone sees it; by default
            what suits the backbone.
        segment_resolution: the same when segmenting; by default as in training.
        square: learn from the middle square of each image or crop, as STEGO does.
        resampling: filter by which images are resized; ``nearest`` is what STEGO's code uses.
        crops: ``five`` learns from four corner crops and a centre crop of each image, ``random``
            from five crops anywhere, each brought to the resolution, so that smaller things are
            seen.
        crop_ratio: side of a crop, as a share of the image's, above 0, at most 1.
        labels: folder of label files, for what needs labels (``training.linear_probe``,
            ``objective.correlations``); otherwise labels are never read.
        saliency: folder of grey images of the images' names; nine locations in ten are drawn where
            they are not black.
        bands: of GeoTIFFs, the three to be seen as red, green and blue, such as ``4,3,2``, or the
            one to be seen in grey; ``all`` projects all onto three. Left out: those that files call
            red, green and blue, else all. The run keeps it.
        components: principal components of the features that are kept; 0, the default, keeps the
            features as they are. On the embedded features 128 make a step three times faster, and
            codes somewhat worse.
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
        depth: depth as a guide.
        training: the training loop.
        cache: the feature store.

    Example:
        >>> FitSettings(classes=12).training.batch_size
        16
    """

    dataset: str | None = None
    classes: int | None = None
    extra_clusters: int = 0
    backbone: str = "efficientnet-lite0"
    resolution: int | None = None
    segment_resolution: int | None = None
    square: bool = False
    resampling: Literal["bicubic", "nearest"] = "bicubic"
    crops: Literal["none", "five", "random"] = "none"
    crop_ratio: float = 0.5
    labels: Path | None = None
    saliency: Path | None = None
    bands: str | None = None
    components: int = 0
    method: Literal["stego", "kmeans"] = "stego"
    clustering: Literal["kmeans", "probe"] = "kmeans"
    seed: int = 0
    strict: bool = False
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    head: HeadSettings = field(default_factory=HeadSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    depth: DepthSettings = field(default_factory=DepthSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)

    @property
    def needs_labels(self) -> bool:
        """Whether anything in the fit looks at labels."""
        return self.training.linear_probe or self.objective.correlations == "labels"

    @property
    def estimates_classes(self) -> bool:
        """Whether the number of classes is to be estimated once codes are learned.

        The cluster probe, and a code with one channel a class, need a number before that.
        """
        needed_before = self.clustering == "probe" or not self.head.continuous
        return self.classes is None and not (self.method == "stego" and needed_before)

    @property
    def wants_depth(self) -> bool:
        """Whether depth guides the fit."""
        given = self.depth.guide == "on" or self.depth.folder is not None
        return given and self.depth.guide != "off" and self.method == "stego"

    def validated(self) -> "FitSettings":
        """Return the settings, with every value of its type and every number in its range.

        Returns:
            The same settings; numbers and paths of other kinds (numpy's, text) as plain ones.

        Raises:
            UserError: a value is of another type or out of its range; the message names the
                setting and what it may be.
        """
        settings = typed(self)
        check_ranges(settings, FIT_RANGES)
        if (settings.classes or DEFAULT_CLASSES) + settings.extra_clusters > 255:
            value = str(settings.extra_clusters)
            refuse("extra_clusters", value, "at least 0 and, with the classes, at most 255")
        return settings

    def as_plain(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, fit for YAML and JSON."""
        plain = asdict(self)
        for group, name in (
            (plain["cache"], "folder"),
            (plain["depth"], "folder"),
            (plain, "labels"),
            (plain, "saliency"),
        ):
            group[name] = None if group[name] is None else str(group[name])
        return plain
