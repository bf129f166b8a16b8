"""Suggesting class names with a vision-language model."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.api.class_changes import ClassChange
from segdistill.api.classes import classes_of, name_classes
from segdistill.api.common import Source, images_or_run_images, load_segmenter
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.config.validation import refuse
from segdistill.devices import choose_compute
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.inference.samples import evenly_spread, segment_samples
from segdistill.naming.encoder import DEFAULT_MODEL, Encoder, check_model_name, load_encoder
from segdistill.naming.suggestions import NameSuggestion, names_to_give, suggest
from segdistill.naming.words import clean_words, read_words

MAX_IMAGES = 40

LONGEST_SIDE = 1024
"""Maximum longer side of images, in pixels; classes may cover only a small part of an image."""


def suggest_names(
    run: Source,
    words: Source | Sequence[str],
    *,
    model: str | Encoder = DEFAULT_MODEL,
    images: Source | Sequence[Source] | Sequence[ImageFile] | None = None,
    top: int = 3,
    unique: bool = False,
    keep_named: bool = True,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
) -> list[NameSuggestion]:
    """Suggest names for the classes of a run; nothing is changed.

    Args:
        run: a run folder.
        words: candidate words: a text file with one word per line, or a list.
        model: hub id or local folder of a CLIP or SigLIP model, or an image and text encoder.
        images: images that show the classes, of which at most 40 are used; by default those of
            the fit.
        top: number of words per class.
        unique: suggest each word at most once.
        keep_named: with ``unique``, keep names given by users and suggest them for no other class.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on.
        precision: precision of the run's matrix products.
        progress: show a progress bar.

    Returns:
        A suggestion for each class, ordered by index.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    if top < 1:
        refuse("top", str(top), "at least 1")
    known = read_words(Path(words)) if isinstance(words, str | Path) else clean_words(words)
    if not known:
        raise UserError("no words to choose from; give at least one")
    if isinstance(model, str):
        check_model_name(model)
    classes_of(run)
    files = images_or_run_images(run, images)
    # Load the encoder first: it may need a download, which can fail.
    encoder = (
        load_encoder(model, compute=choose_compute(device, "32-true"))
        if isinstance(model, str)
        else model
    )
    segmenter = load_segmenter(run, backbone, device, precision)
    chosen = evenly_spread(files, MAX_IMAGES)
    samples = segment_samples(
        segmenter, chosen, longest=LONGEST_SIDE, label="Segmenting", progress=progress
    )
    if not samples:
        none = "the image cannot" if len(chosen) == 1 else f"none of {len(chosen)} images can"
        raise UserError(f"{none} be read; give others with --images")
    return suggest(
        encoder,
        samples,
        segmenter.classes,
        known,
        top=top,
        unique=unique,
        keep_named=keep_named,
    )


def apply_suggestions(
    run: Source, suggestions: Sequence[NameSuggestion], *, overwrite: bool = False
) -> ClassChange:
    """Apply suggested names to the classes of a run; this can be undone.

    Args:
        run: a run folder.
        suggestions: result of :func:`suggest_names`.
        overwrite: also rename classes that already have names.

    Returns:
        What was changed.

    Raises:
        UserError: the folder cannot be written, or its classes have changed since.
    """
    now = [(each.index, each.name) for each in classes_of(run)]
    if now != [(each.index, each.name) for each in suggestions]:
        raise UserError(f"{run}: classes have changed since names were suggested; suggest again")
    return name_classes(run, names_to_give(suggestions, overwrite=overwrite))
