"""Compare automatic choices of a fit with tuned presets and k-means, on validation images.

Fits every variant with several seeds on the toy world and, if SEGDISTILL_DATA names a folder that
contains `camvid` with imgs and labels, on CamVid. All use the embedded backbone. "Nothing set" is
scored at the level whose number of classes is nearest to the number of label classes, and again at
the level fine with each cluster given its best class, which is what naming clusters can reach. The
other variants get the right number of classes. Presets keep everything else that was tuned for them
(shifts, crops, resolution, clustering by the probe) but train for 300 steps, since on these
features their codes get worse after that. All masks are made and scored in the same way.

No label is used before scoring. Prints a Markdown table of accuracy, mIoU and boundary F-score,
mean and standard deviation over the seeds, in percent. Finished fits are kept in --out, so that an
interrupted run can continue.

    python -m benchmarks.quality --out quality.jsonl
"""

from benchmarks.side_by_side import Scene, Variant, run
from segdistill.api.reclustering import at_level
from segdistill.cli.arguments import keywords
from segdistill.cli.main import parser_of
from segdistill.config.settings import FitSettings
from segdistill.model.levels import LEVEL_NAMES
from segdistill.model.segmenter import Segmenter
from segdistill.operations import COMMANDS

PRESET_STEPS = 300


def preset(name: str) -> Variant:
    def settings(scene: Scene) -> FitSettings:
        parser = parser_of(COMMANDS["fit"])
        given = parser.parse(
            [
                *(str(scene.root), "--preset", name, "--backbone", "efficientnet-lite0"),
                *("--classes", str(scene.classes), "--training.steps", str(PRESET_STEPS)),
            ]
        )
        settings: FitSettings = keywords(parser.function, given)["settings"]
        return settings.validated()

    return Variant(settings)


def nearest_level(segmenter: Segmenter, scene: Scene) -> Segmenter:
    """Return the model at the level whose number of classes is nearest to that of the labels."""
    models = [at_level(segmenter, level) for level in LEVEL_NAMES]
    return min(models, key=lambda model: abs(len(model.classes) - scene.classes))


VARIANTS: dict[str, Variant] = {
    "default": Variant(lambda scene: FitSettings(classes=scene.classes)),
    "nothing set": Variant(lambda _scene: FitSettings(), nearest_level),
    "nothing set, level medium": Variant(lambda _scene: FitSettings()),
    "nothing set, each cluster given its best class": Variant(
        lambda _scene: FitSettings(),
        lambda segmenter, _scene: at_level(segmenter, "fine"),
        best_class=True,
    ),
    "default on 128 components": Variant(
        lambda scene: FitSettings(classes=scene.classes, components=128)
    ),
    "k-means on the features": Variant(
        lambda scene: FitSettings(classes=scene.classes, method="kmeans")
    ),
    "preset stego-vits8": preset("stego-vits8"),
    "preset stego-cityscapes27-vitb8": preset("stego-cityscapes27-vitb8"),
}


if __name__ == "__main__":
    run(__doc__, VARIANTS, out="quality.jsonl")
