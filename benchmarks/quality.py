"""What a fit chooses by itself, beside tuned presets and k-means, scored on validation images.

Fits every variant with several seeds on the toy world and, where SEGDISTILL_DATA names a folder
that holds `camvid` with imgs and labels, on CamVid. All have the embedded backbone and the right
number of classes, but for the one that finds the number by itself. Presets keep all else that
was tuned for them: shifts, crops, resolution, clustering by the probe; they train for 300 steps,
since on these features their codes get worse after that. Masks are made and scored alike.

No label is touched before scoring. Prints a Markdown table of accuracy, mIoU and boundary F-score,
mean and standard deviation over the seeds, in percent. What is done is kept in --out, so that a run
that was broken off goes on.

    python -m benchmarks.quality --out quality.jsonl
"""

from benchmarks.side_by_side import Scene, Variant, run
from segdistill.cli.fit import parser, settings_from, with_preset_file
from segdistill.config.settings import FitSettings

PRESET_STEPS = 300


def preset(name: str) -> Variant:
    def settings(scene: Scene) -> FitSettings:
        arguments = with_preset_file(
            [
                *(str(scene.root), "--preset", name, "--backbone", "efficientnet-lite0"),
                *("--classes", str(scene.classes), "--training.steps", str(PRESET_STEPS)),
            ]
        )
        return settings_from(parser().parse_args(arguments)).validated()

    return settings


VARIANTS: dict[str, Variant] = {
    "default": lambda scene: FitSettings(classes=scene.classes),
    "default, classes not given": lambda _scene: FitSettings(),
    "default on 128 components": lambda scene: FitSettings(classes=scene.classes, components=128),
    "k-means on the features": lambda scene: FitSettings(classes=scene.classes, method="kmeans"),
    "preset stego-vits8": preset("stego-vits8"),
    "preset stego-cityscapes27-vitb8": preset("stego-cityscapes27-vitb8"),
}


if __name__ == "__main__":
    run(__doc__, VARIANTS, out="quality.jsonl")
