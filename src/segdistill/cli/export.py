"""``segdistill export``, ``export-model``, ``push`` and ``convert``: runs and masks elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from segdistill.cli.arguments import Value
from segdistill.cli.options import Backbone, Existing, Folder, Name, Run
from segdistill.cli.outcome import command_line
from segdistill.errors import UserError
from segdistill.export.options import ExportOptions, FormatName

if TYPE_CHECKING:
    from segdistill.deployment.writing import WrittenGraph


def export(
    run: Run,
    masks: Annotated[str, Value("MASKS")],
    *,
    format: FormatName | None = None,  # noqa: A002 - the name of the option
    out: Annotated[str, Value("PATH")] | None = None,
    images: Sequence[Existing] | None = None,
    options: ExportOptions,
    quiet: bool = False,
) -> None:
    """Convert the masks that `segdistill segment` wrote to the format of another program.

    Args:
        masks: folder of masks that `segdistill segment` wrote
        format: format to write (required)
        out: file, or new or empty folder, to write (default: exports/NAME-FORMAT)
        images: images that were segmented: their file names are used, and yolo and voc link to them
            (default: use the names of the masks, without links)

    Example:
        segdistill export runs/photos masks/photos --format coco --images photos
    """
    if format is None:
        raise UserError(f"--format is missing: one of {', '.join(get_args(FormatName))}")

    import segdistill

    done = segdistill.export_masks(
        run,
        masks,
        format,
        out,
        images=images,
        options=options,
        progress=not quiet,
    )
    for skipped in done.skipped:
        print(f"Skipped: {skipped.reason}")
    print(f"Export:  {done.written} masks in {done.path}")
    if done.small_regions:
        print(
            f"Small:   {done.small_regions:,} regions smaller than {options.min_region:.2%} of"
            " their image joined a neighbour or were left out,"
            f" {done.small_share:.2%} of the pixels"
        )
    if done.sidecar is not None:
        print(f"Also:    {done.sidecar}")


def export_model(
    run: Run,
    path: Annotated[str, Value("FILE")],
    *,
    format: Literal["onnx", "torch"] | None = None,  # noqa: A002 - the name of the option
    masks: bool = False,
    int8: bool = False,
    fixed_ranges: bool = False,
    images: Sequence[Existing] | None = None,
    labels: Folder | None = None,
    backbone: Backbone | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Export a run as one graph from images to class scores, and check it against the run.

    The graph is for programs without segdistill.

    Args:
        path: file to write, ending with .onnx or .pt2 (torch.export)
        format: format of the file (default: by its extension)
        masks: also output masks: the best class per pixel, upsampled bilinearly
        int8: 8-bit weights (ONNX): a third of the size; the loss in quality is reported
        fixed_ranges: with --int8: measure activation ranges now, as accelerators require, instead
            of per image
        images: with --int8: images to measure the loss in quality and the ranges on (default: those
            of the run)
        labels: with --int8: label files of --images, to measure mIoU (default: the share of
            changed pixels is measured)
        overwrite: replace an existing file

    Example:
        segdistill export-model runs/photos photos.onnx
    """
    import segdistill

    written = segdistill.export_model(
        run,
        path,
        format_name=format,
        masks=masks,
        int8=int8,
        fixed_ranges=fixed_ranges,
        images=images,
        labels=labels,
        backbone=backbone,
        overwrite=overwrite,
        progress=not quiet,
    )
    print(f"Model:   {written.path} ({written.bytes / 1e6:.1f} MB)")
    when = "before quantisation, " if int8 else ""
    print(f"Checked: {when}class scores differ from the run's by at most {written.difference:.1g}")
    if int8:
        print(f"8 bits:  {loss_text(written)}")


def loss_text(written: "WrittenGraph") -> str:
    """Return the accuracy loss of 8-bit weights in words."""
    loss = written.loss
    if loss is None:
        return "the accuracy loss was not measured; give --images"
    if loss.mean_iou is not None:
        before, after = loss.mean_iou
        return f"mIoU {before:.1%} before, {after:.1%} after, on {loss.images} images"
    return f"{loss.changed or 0:.1%} of pixels change class, on {loss.images} images"


def push(
    run: Run,
    repo_id: Annotated[str, Value("REPO_ID")],
    *,
    evaluation: Folder | None = None,
    data: Name = "labelled images",
    private: bool = False,
    overwrite: bool = False,
    backbone: Backbone | None = None,
    quiet: bool = False,
) -> None:
    """Share a run on the Hugging Face hub, with a model card.

    The backbone's weights are not uploaded. `Segmenter.from_pretrained` loads it.

    Args:
        repo_id: repository on the hub, such as someone/photos
        evaluation: folder that `evaluate --out` wrote, for the card (default: no scores)
        data: name of the evaluation's images on the card
        private: make a new repository private
        overwrite: replace the model in the repository

    Example:
        segdistill push runs/photos someone/photos --evaluation evaluations/photos
    """
    import segdistill

    address = segdistill.push(
        run,
        repo_id,
        evaluation=evaluation,
        data=data,
        private=private,
        overwrite=overwrite,
        backbone=backbone,
    )
    print(f"Shared:  {address}")
    if not quiet:
        print(f'From Python: segdistill.Segmenter.from_pretrained("{repo_id}")')


def convert(
    checkpoint: Annotated[str, Value("CHECKPOINT")],
    *,
    out: Folder,
    num_heads: int | None = None,
    overwrite: bool = False,
) -> None:
    """Convert a checkpoint of STEGO or DepthG to a run folder, without running code in it.

    Args:
        checkpoint: checkpoint written by their training (.ckpt)
        out: run folder to write
        num_heads: attention heads of the backbone (default: those of the network it names)
        overwrite: replace the run of an earlier conversion

    Example:
        segdistill convert stego.ckpt --out runs/stego
    """
    from segdistill.layout import BACKBONE_FOLDER, PROBE_FILE
    from segdistill.runs.conversion import convert_checkpoint

    folder = Path(out)
    converted = convert_checkpoint(
        Path(checkpoint), folder, num_heads=num_heads, overwrite=overwrite
    )
    backbone, centres = converted.segmenter.backbone, converted.segmenter.centres
    print(f"Run:      {folder} ({len(centres)} classes, codes of {centres.shape[1]} channels)")
    print(
        f"Backbone: {folder / BACKBONE_FOLDER} (ViT of {sum(backbone.channel_groups)} channels,"
        f" patches of {backbone.stride}, {converted.num_heads} heads)"
    )
    if converted.probe is not None:
        labels = converted.probe.out_features
        print(f"Probe:    {folder / PROBE_FILE} (linear, {labels} label classes)")
    print(f"Next:     {command_line('segment', folder, 'IMAGES')}")
