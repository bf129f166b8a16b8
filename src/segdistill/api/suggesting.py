"""Proposing names for the classes of a run with a network that knows images and words."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.api.classes import Classes, classes_of, name_classes
from segdistill.api.common import Source, loaded
from segdistill.api.run_images import images_or_those_of_run
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.config.validation import refuse
from segdistill.devices import choose_compute
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.inference.samples import evenly_spread, segment_samples
from segdistill.naming.encoder import DEFAULT_MODEL, Encoder, check_model_name, load_encoder
from segdistill.naming.suggestions import NameSuggestion, names_to_give, suggest
from segdistill.naming.words import read_words, tidy_words

MOST_IMAGES = 40

LONGEST_SIDE = 1024
"""Longer side, in pixels, to which images are reduced: a class may fill a small part of one."""


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
    """Propose names for the classes of a run; nothing is changed.

    Args:
        run: a run folder.
        words: to choose from: a text file with a word a line, or a list of words.
        model: hub id or local folder of a CLIP or SigLIP network, or what embeds pictures and
            sentences.
        images: in which the classes are shown, 40 of them at most; by default those of the fit.
        top: words to name for each class.
        unique: propose no word twice.
        keep_named: with ``unique``, leave the names that somebody has given where they are.
        backbone: where the backbone of the run lies now, if it has moved.
        device: where to compute.
        precision: of the run's matrix products.
        progress: show a progress bar.

    Returns:
        A suggestion for each class, in the order of their indices.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    if top < 1:
        refuse("top", str(top), "at least 1")
    known = read_words(Path(words)) if isinstance(words, str | Path) else tidy_words(words)
    if not known:
        raise UserError("no word to choose from; give at least one")
    if isinstance(model, str):
        check_model_name(model)
    classes_of(run)
    files = images_or_those_of_run(run, images)
    # First what may have to be fetched, and fails without a connection.
    encoder = (
        load_encoder(model, compute=choose_compute(device, "32-true"))
        if isinstance(model, str)
        else model
    )
    segmenter = loaded(run, backbone, device, precision)
    looked_at = evenly_spread(files, MOST_IMAGES)
    samples = segment_samples(
        segmenter, looked_at, longest=LONGEST_SIDE, label="Segmenting", progress=progress
    )
    if not samples:
        raise UserError(f"none of {len(looked_at)} images can be read; give others with --images")
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
) -> Classes:
    """Name the classes of a run as proposed; it can be undone like any other change of names.

    Args:
        run: a run folder.
        suggestions: of :func:`suggest_names`.
        overwrite: also rename classes that somebody has named.

    Returns:
        The classes as they are now.

    Raises:
        UserError: the folder cannot be written, or its classes have changed since.
    """
    now = [(each.index, each.name) for each in classes_of(run)]
    if now != [(each.index, each.name) for each in suggestions]:
        raise UserError(f"{run}: its classes have changed since names were proposed; ask again")
    return name_classes(run, names_to_give(suggestions, overwrite=overwrite))
