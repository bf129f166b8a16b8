"""Every setting of a fit, with its type, default and meaning.

The command line and YAML files are read into these classes. The ``Attributes`` sections below are
the descriptions that ``segdistill fit --help-all`` shows, so each must be clear on its own. Where
``None`` is the default, the description says what it means.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from segdistill.config.objectives import (
    CauseSettings,
    EagleSettings,
    HiddenPositivesSettings,
    PriMaPsSettings,
    SmooSegSettings,
)
from segdistill.config.validation import Range, at_least, refuse, typed

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "32-true", "bf16-mixed"]
LevelName = Literal["coarse", "medium", "fine"]
UpsamplingName = Literal["guided", "bilinear"]
UntaughtName = Literal["clusters", "nearest"]
EngineName = Literal["local", "ray"]
Interpolated = Literal["features", "codes"]
Pairs = Literal["shared", "separate"]

Count = Annotated[int, at_least(1)]
Size = Annotated[int, at_least(2)]
Resolution = Annotated[
    int,
    # At 8192, one feature map of a backbone with a stride of 8 has a million cells or more.
    Range("from 32 to 8192, since memory grows with its square", lambda side: 32 <= side <= 8192),
]
NotNegative = Annotated[float, at_least(0)]
Positive = Annotated[float, Range("above 0", lambda value: value > 0)]
Share = Annotated[float, Range("from 0 to 1", lambda value: 0 <= value <= 1)]
ShareBelowOne = Annotated[float, Range("from 0 to below 1", lambda value: 0 <= value < 1)]

DEFAULT_CLASSES = 12
"""The number of classes where none is given and none is estimated; logged whenever it is used."""

MOST_STEPS = 1000
"""Upper limit of the steps of a training that stops early."""

REMOVED_SETTINGS: dict[str, object] = {
    "depth.schedule": "exponential",
    "depth.weight_minimum": 0.0,
    "depth.shift_minimum": 0.0,
}
"""Settings of earlier versions, whose files may contain them, and the value that now holds."""

MIN_REGION = 0.00005
"""Share of an image that a region needs by default to stay in its mask.

Larger values cost boundary F-score: on CamVid's training images 0.00005 costs about 1.5 points,
0.0003 about 2.5, since specks near an outline count as hits. They leave mean IoU as it is."""


@dataclass(frozen=True)
class HeadSettings:
    """The segmentation head, from feature map to code.

    Attributes:
        channels: channels of the code.
        kind: ``linear``: one linear layer; ``nonlinear`` adds a branch with a hidden layer (STEGO,
            section 3.2).
        dropout: share of feature channels dropped during training, from 0 to below 1.
        continuous: ``false``: one code channel per class instead of ``channels`` (an ablation in
            STEGO).
    """

    channels: Size = 70
    kind: Literal["nonlinear", "linear"] = "nonlinear"
    dropout: ShareBelowOne = 0.1
    continuous: bool = True


@dataclass(frozen=True)
class ObjectiveSettings:
    """The objective of the training; unless named, the correspondence loss.

    The correspondence loss is that of STEGO (equation 4 and its summary in section 3.3).

    Attributes:
        name: ``stego``, ``smooseg``, ``eagle``, ``primaps``, ``hp``, ``cause``, or one registered
            from Python; ``docs/objectives.md`` describes them.
        weight_self: weight of pairs within one image.
        weight_neighbour: weight of pairs of an image and a nearest neighbour.
        weight_random: weight of pairs of an image and a random other image.
        weight_reconstruction: weight of reconstructing the features from the code; 0 disables it.
        weight_crf: weight of the contrastive CRF, which makes codes follow the image's edges; 0
            disables it. It decodes an image in every step, so training is slower.
        weight_alignment: weight of giving an image and its augmented copy (mirrored, cropped,
            colour-jittered, blurred) the same codes; 0 disables it. On CamVid with the embedded
            backbone, 0.5 gave better outlines but made fits several times slower.
        augmentations: number of augmented copies of each image for ``weight_alignment``, reduced
            (to no less than one) if there would be more than 1500 in all; each step uses one of
            them.
        correlations: ``labels`` replaces the features' correlations with the agreement of labels:
            an oracle that shows the best the loss could achieve. It needs labels.
        shift_self: feature correlation, from -1 to 1, above which codes of one image attract
            (default: set from the images so that ``attract_self`` of the pairs do).
        shift_neighbour: ``shift_self``, for pairs of neighbours (default: set from
            ``attract_neighbour``).
        shift_random: ``shift_self``, for pairs of random images (default: set from
            ``attract_random``).
        attract_self: share of pairs within one image whose codes attract, from 0 to 1.
        attract_neighbour: share of pairs of neighbours whose codes attract, from 0 to 1.
        attract_random: share of pairs of random images whose codes attract, from 0 to 1.
        feature_dropout: share of feature channels hidden from the loss, drawn anew for each image
            in each step, from 0 to below 1 (STEGO: 0.1).
        samples: locations per side; ``samples ** 2`` locations are sampled from each image.
        interpolate: what is interpolated between the cells of a map: ``codes``, as STEGO does, so
            that the head runs on the four cells around each location; or ``features``, so that it
            runs only once per location, which is faster.
        random_draws: number of random partners per image and step.
        pointwise: centre the feature correlations over the partner's locations.
        zero_clamp: ignore negative code correlations.
        stabilize: cap code correlations at 0.8.
        smooseg: settings of ``smooseg``.
        eagle: settings of ``eagle``.
        primaps: settings of ``primaps``.
        hp: settings of ``hp``.
        cause: settings of ``cause``.
    """

    name: str = "stego"
    weight_self: float = 0.67
    weight_neighbour: float = 0.25
    weight_random: float = 0.63
    weight_reconstruction: float = 0.0
    weight_crf: float = 0.0
    weight_alignment: float = 0.0
    augmentations: Count = 4
    correlations: Literal["features", "labels"] = "features"
    shift_self: float | None = None
    shift_neighbour: float | None = None
    shift_random: float | None = None
    attract_self: Share = 0.5
    attract_neighbour: Share = 0.5
    attract_random: Share = 0.05
    feature_dropout: ShareBelowOne = 0.0
    samples: Size = 11
    interpolate: Interpolated = "codes"
    random_draws: Count = 5
    pointwise: bool = True
    zero_clamp: bool = True
    stabilize: bool = False
    smooseg: SmooSegSettings = field(default_factory=SmooSegSettings)
    eagle: EagleSettings = field(default_factory=EagleSettings)
    primaps: PriMaPsSettings = field(default_factory=PriMaPsSettings)
    hp: HiddenPositivesSettings = field(default_factory=HiddenPositivesSettings)
    cause: CauseSettings = field(default_factory=CauseSettings)


@dataclass(frozen=True)
class DepthSettings:
    """Depth guidance of the training (Sick et al., DepthG, CVPR 2024); segmenting needs no depth.

    Attributes:
        folder: folder of depth maps with the images' names, which turns depth guidance on
            (default: no depth guidance).
        guide: ``auto`` uses depth if ``folder`` is given; ``on`` also uses a benchmark's own depth
            and stops if there is none; ``off`` never uses depth.
        kind: meaning of larger values in depth maps: ``depth`` farther, ``inverse`` nearer,
            ``height`` higher, seen from above (default: as ``depth.json`` next to the maps says,
            otherwise ``depth``).
        invalid: values that mean 'not measured' in depth maps, such as 0 or 0,65535 (default:
            none).
        format: how a pixel of a depth map encodes its value: ``numbers``, as one number; ``carla``,
            in red, green and blue as CARLA does; ``tartanair``, as the bytes of a float in blue,
            green, red and alpha; ``float32-rgba``, the same in red, green, blue and alpha.
        channel: array of .npz files, or channel of .exr files, that contains depth (default: the
            only one, or the one named depth or Z).
        field_of_view: horizontal field of view of the camera, in degrees.
        space: space in which distances are measured: ``metric`` as in DepthG, or ``perspective``,
            by direction and ratio of depths, in which a distant sky does not get nearly all
            samples.
        similarity: depth similarity of two locations: ``product`` as in DepthG, by ``difference``
            of depth, or by ``distance`` in space.
        weight: weight of the depth term: pairs within one image whose depths decide which codes
            attract.
        shift: depth similarity, from 0 to 1, above which codes attract (default: 0.03 for
            ``product``, as in DepthG; otherwise the median over the pairs).
        sampling: how locations are sampled: ``random``; ``farthest`` points in space, as in
            DepthG; ``farthest-mixed`` in space and features; ``histogram``, evenly over depth.
        hidden_positives: second head that learns from codes averaged over locations that are close
            in space (``depth``), have similar features (``features``), or are related by the
            attention of the backbone's last block (``attention``; only for vision transformers,
            which then run in every step).
        weight_hidden_positives: weight of the losses of the ``hidden_positives`` head.
        weight_factor: factor of ``weight`` per period; 1 keeps it constant.
        weight_every: period of ``weight``, in steps.
        shift_factor: factor of ``shift`` per period; 1 keeps it constant.
        shift_every: period of ``shift``, in steps.
        samples_factor: factor of ``objective.samples`` per period; 1 keeps it constant.
        samples_every: period of ``objective.samples``, in steps.
        samples_minimum: lower limit of ``objective.samples``.
        as_released: follow DepthG's released code wherever it differs from the paper, for
            comparison.
    """

    folder: Path | None = None
    guide: Literal["auto", "on", "off"] = "auto"
    kind: Literal["depth", "inverse", "height"] | None = None
    invalid: tuple[float, ...] | None = None
    format: Literal["numbers", "carla", "tartanair", "float32-rgba"] = "numbers"
    channel: str | None = None
    field_of_view: Annotated[
        float, Range("between 0 and 180 degrees", lambda value: 0 < value < 180)
    ] = 60.0
    space: Literal["metric", "perspective"] = "metric"
    similarity: Literal["product", "difference", "distance"] = "product"
    weight: NotNegative = 0.16
    shift: float | None = None
    sampling: Literal["random", "farthest", "farthest-mixed", "histogram"] = "random"
    hidden_positives: Literal["none", "depth", "features", "attention"] = "none"
    weight_hidden_positives: NotNegative = 0.3
    weight_factor: Positive = 1.0
    weight_every: Count = 300
    shift_factor: Positive = 1.0
    shift_every: Count = 300
    samples_factor: Positive = 1.0
    samples_every: Count = 1000
    samples_minimum: Count = 4
    as_released: bool = False


@dataclass(frozen=True)
class TrainingSettings:
    """The training loop.

    Attributes:
        steps: number of optimiser steps (default: until codes stop improving, as measured without
            labels, but at most 1000; the best codes are kept).
        batch_size: images per step.
        pairs: ``shared``: half of a batch are random images, the other half a neighbour of each,
            and all pairs are compared at the same locations, so that the head runs once per image;
            ``separate``: neighbours are read in addition, and other images are compared at a second
            set of locations, as in STEGO's code, which takes more than twice as long. Only the
            objectives ``stego`` and ``eagle`` compare neighbours. Batches of fewer than 4 images
            per process always use ``separate``.
        learning_rate: learning rate of the head (Adam).
        cluster_learning_rate: learning rate of the cluster centres (Adam).
        neighbours: number of nearest neighbours of an image from which its positive is drawn.
        checkpoint_every: steps between checkpoints, from which ``--resume`` continues; if these
            steps take longer than 10 seconds, checkpoints are written more often.
        reset_probes_every: steps after which the cluster centres and the linear probe are reset,
            so that they follow codes that have changed (default: never).
        linear_probe: also train a linear probe, as STEGO does. It needs labels and affects only
            what is reported.
    """

    steps: Count | None = None
    batch_size: Size = 16
    pairs: Pairs = "shared"
    learning_rate: Positive = 5e-4
    cluster_learning_rate: Positive = 5e-3
    neighbours: Count = 7
    checkpoint_every: Count = 50
    reset_probes_every: Count | None = None
    linear_probe: bool = False

    @property
    def most_steps(self) -> int:
        """Upper limit of the training steps."""
        return MOST_STEPS if self.steps is None else self.steps


@dataclass(frozen=True)
class CacheSettings:
    """The feature store.

    Attributes:
        folder: folder of the store (default: the value of the environment variable
            SEGDISTILL_CACHE, otherwise ``segdistill`` in the user's cache folder).
        max_gigabytes: upper limit of the size of the store (1 GB = 10**9 bytes). Features that do
            not fit are computed again when needed, which is slower but gives the same result. The
            store never takes more than 80% of the free disk space.
    """

    folder: Path | None = None
    max_gigabytes: NotNegative = 20.0


@dataclass(frozen=True)
class FitSettings:
    """All settings of a fit.

    Attributes:
        dataset: benchmark whose training images are in ``--data-root``; ``segdistill datasets``
            lists them (default: images are given as a folder).
        classes: number of classes to find (default: estimated from the codes).
        extra_clusters: clusters in addition to ``classes``; in evaluations, clusters that match no
            label class count as wrong.
        backbone: short name (``segdistill backbones`` lists them), hub id, local folder or .pth
            file.
        resolution: shorter side, in pixels, at which the backbone sees images (default: that of
            the backbone).
        segment_resolution: ``resolution`` when segmenting (default: as in training).
        square: learn from the centre square of each image or crop, as STEGO does.
        resampling: filter for resizing images; STEGO's code uses ``nearest``.
        crops: learn from crops of each image, resized to the resolution, to see smaller objects:
            ``five`` takes the four corners and the centre, ``random`` five at random.
        crop_ratio: side of a crop as a share of the image's side, above 0, at most 1.
        labels: folder of label files, for ``training.linear_probe`` and
            ``objective.correlations`` (default: labels are never read).
        label_map: YAML file that maps numbers or colours of label files to classes;
            ``docs/reading.md`` describes it (default: numbers are classes, and 255 means 'not
            labelled').
        saliency: folder of grey images with the images' names; nine in ten locations are sampled
            where these are not black (default: anywhere).
        bands: bands of GeoTIFFs to use as red, green and blue, such as ``4,3,2``, or one band to
            use as grey; ``all`` projects all bands onto three. The choice is stored in the run
            (default: those that the files label red, green and blue, otherwise all).
        value_range: values that become black and white in images of more than 8 bits, such as
            ``0,4095``. They are stored in the run (default: the range of the bits in use, or robust
            percentiles over all images).
        ignore_mask: folder of images with the images' names; nothing is learned from pixels that
            are not black in them (default: all pixels, except those without a value).
        components: principal components of the features to keep; 0 keeps the features unchanged.
            With the embedded backbone, 128 components make a step three times faster and codes
            slightly worse.
        method: ``stego`` distils features into a head by ``objective``; ``kmeans`` clusters the
            backbone's features directly, as a baseline.
        clustering: ``kmeans`` runs spherical k-means on the codes of the trained head; ``probe``
            uses the centres learned by gradient during training, as STEGO does, or the
            prototypes of an objective that has some.
        seed: random seed.
        strict: stop at the first image that cannot be read, instead of skipping it.
        device: device to compute on; ``auto`` uses a GPU if there is one.
        precision: precision of matrix products; ``auto`` uses bfloat16 if the device supports it
            natively.
        head: the segmentation head.
        objective: the objective of the training.
        depth: depth guidance.
        training: the training loop.
        cache: the feature store.

    Example:
        >>> FitSettings(classes=12).training.batch_size
        16
    """

    dataset: str | None = None
    classes: Annotated[int, Range("from 2 to 255", lambda value: 2 <= value <= 255)] | None = None
    extra_clusters: Annotated[int, at_least(0)] = 0
    backbone: str = "efficientnet-lite0"
    resolution: Resolution | None = None
    segment_resolution: Resolution | None = None
    square: bool = False
    resampling: Literal["bicubic", "nearest"] = "bicubic"
    crops: Literal["none", "five", "random"] = "none"
    crop_ratio: Annotated[float, Range("above 0, at most 1", lambda x: 0 < x <= 1)] = 0.5
    labels: Path | None = None
    label_map: Path | None = None
    saliency: Path | None = None
    bands: str | None = None
    value_range: str | None = None
    ignore_mask: Path | None = None
    components: Annotated[int, Range("0 or at least 2", lambda n: n == 0 or n >= 2)] = 0
    method: Literal["stego", "kmeans"] = "stego"
    clustering: Literal["kmeans", "probe"] = "kmeans"
    seed: Annotated[int, Range("from 0 to 2147483647", lambda n: 0 <= n < 2**31)] = 0
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
        """Whether the fit uses labels."""
        return self.training.linear_probe or self.objective.correlations == "labels"

    @property
    def estimates_classes(self) -> bool:
        """Whether the number of classes is estimated after training.

        The cluster probe, and a code with one channel per class, need it before training.
        """
        needed_before = self.clustering == "probe" or not self.head.continuous
        return self.classes is None and not (self.method == "stego" and needed_before)

    @property
    def wants_depth(self) -> bool:
        """Whether depth guides the training."""
        given = self.depth.guide == "on" or self.depth.folder is not None
        return given and self.depth.guide != "off" and self.method == "stego"

    def validated(self) -> "FitSettings":
        """Return the settings after checking every value's type and range.

        Returns:
            The same settings, with plain numbers and paths in place of numpy numbers and strings.

        Raises:
            UserError: a value has the wrong type or is out of range; the message names the setting
                and the allowed values.
        """
        settings = typed(self)
        if (settings.classes or DEFAULT_CLASSES) + settings.extra_clusters > 255:
            value = str(settings.extra_clusters)
            refuse("extra_clusters", value, "at least 0 and, with the classes, at most 255")
        return settings

    def as_plain(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, for YAML and JSON."""

        def plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
            return {key: _plain(value) for key, value in items}

        return asdict(self, dict_factory=plain)

    def flattened(self) -> dict[str, Any]:
        """Return plain values by dotted names.

        Example:
            >>> FitSettings(classes=8).flattened()["head.channels"]
            70
        """
        return flat_values(self.as_plain())


def flat_values(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested dictionaries by dotted names.

    Example:
        >>> flat_values({"seed": 0, "head": {"channels": 70}})
        {'seed': 0, 'head.channels': 70}
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        below = flat_values(value, f"{prefix}{name}.") if isinstance(value, dict) else None
        flat |= {prefix + name: value} if below is None else below
    return flat


def _plain(value: Any) -> Any:
    """Return a value as YAML and JSON hold it."""
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, tuple):
        return value
    # One number as such, as older versions wrote it.
    return value[0] if len(value) == 1 else list(value)
