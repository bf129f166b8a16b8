"""HTML views of the page, from autoescaped templates."""

from collections.abc import Sequence
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.app.class_table import ClassesView, Progress
from segdistill.app.correspondences import By
from segdistill.app.pictures import MissingPicture, Picture
from segdistill.app.state import AppState
from segdistill.app.teaching_view import Place
from segdistill.errors import UserError
from segdistill.images.palette import css_colour
from segdistill.model.description import SegmentClass
from segdistill.progress import Report
from segdistill.report.data_uri import data_uri
from segdistill.report.rendering import templates, without_undecodable

NO_IMAGES = "No images to show. Restart with --images FOLDER."


def render(template: str, **context: Any) -> str:
    """Render a template as HTML.

    Args:
        template: file name in this package.
        **context: variables of the template, which are escaped.

    Example:
        >>> "&lt;b&gt;" in render("notice.html.j2", text="<b>", failed=False)
        True
    """
    return without_undecodable(templates(part).get_template(template).render(context))


def part(name: str) -> str:
    """Return the text of a file in this package: a template, the style sheet or the script."""
    return resources.files("segdistill.app").joinpath(name).read_text(encoding="utf-8")


def notice(message: str, *, failed: bool = False) -> str:
    """Return a status or error message."""
    return render("notice.html.j2", text=message, failed=failed)


def heading(state: AppState) -> str:
    """Return the heading of the page."""
    run = state.run
    return render(
        "heading.html.j2",
        title=run.folder.resolve().name,
        folder=str(run.folder),
        images=len(state.files),
        backbone=run.segmenter.backbone.name,
    )


def gallery(state: AppState, page: int, progress: Progress) -> str:
    """Return a page of the gallery."""
    pictures = state.page(page, progress)
    return render(
        "gallery.html.j2",
        pictures=pictures,
        classes=[
            (css_colour(each.colour), each.name) for each in state.run.classes if not each.hidden
        ],
        page=page,
        pages=state.pages,
        total=len(state.files),
    )


def large(state: AppState, index: int) -> str:
    """Return an image at large size."""
    return render("large.html.j2", picture=state.large(index), total=len(state.files))


def classes(view: ClassesView) -> str:
    """Return the class table and the merge tree."""
    return render("classes.html.j2", view=view)


def trial(state: AppState, path: Path) -> str:
    """Return an uploaded file with its mask, or an error message."""
    try:
        picture, mask = state.segment_file(path)
    except UserError as error:
        return notice(str(error), failed=True)
    return render(
        "trial.html.j2",
        picture=picture,
        mask=mask_file(mask, state.run.classes),
        mask_name=f"{path.stem}.png",
        size=mask.shape,
    )


def mask_file(mask: NDArray[np.uint8], classes: Sequence[SegmentClass]) -> str:
    """Return a mask as a data URL, in the format of ``segdistill segment``.

    Args:
        mask: class indices, shape (height, width).
        classes: classes with the colours of the palette.
    """
    image = Image.fromarray(mask)
    image.putpalette([value for each in classes for value in each.colour])
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return data_uri(buffer.getvalue(), "image/png")


def correspondences(state: AppState, index: int, point: tuple[float, float], by: By) -> str:
    """Return the heat maps of a point, or an error message."""
    if not state.files:
        return notice(NO_IMAGES)
    try:
        pictures = state.correspondences(index, point, by)
    except UserError as error:
        return notice(str(error), failed=True)
    return render("correspondences.html.j2", pictures=pictures, point=point, by=by)


def comparison(state: AppState, index: int, folder: str | None) -> str:
    """Return an image segmented by two runs, side by side."""
    if not state.files:
        return notice(NO_IMAGES)
    sides: list[tuple[str, Picture | MissingPicture]]
    sides = [(state.run.folder.resolve().name, state.small(index))]
    if folder is not None:
        try:
            other = state.other(Path(folder))
            sides.append((other.folder.resolve().name, state.small(index, other)))
        except UserError as error:
            return notice(str(error), failed=True)
    return render("comparison.html.j2", sides=sides)


def teaching(state: AppState, report: Report | None = None) -> str:
    """Return the question of the Teach tab, or an error message.

    Args:
        state: state of the app.
        report: told of the progress of opening.
    """
    if not state.files:
        return notice(NO_IMAGES)
    try:
        return render("teaching.html.j2", view=state.teach.view(report=report))
    except UserError as error:
        return notice(str(error), failed=True)


def changed(state: AppState, data: object) -> str:
    """Do what the Teach tab asks for, and return its next question."""
    try:
        return render("teaching.html.j2", view=state.teach.change(data))
    except UserError as error:
        return notice(str(error), failed=True)


def below_question(state: AppState, place: Place) -> tuple[str, str]:
    """Return the masks, and the classes and answers; nothing if the tab cannot be opened."""
    if not state.files:
        return "", ""
    try:
        masks = render("taught.html.j2", view=state.teach.masks(place))
        return masks, render("given.html.j2", view=state.teach.given(place))
    except UserError:  # told by the upper part
        return "", ""


def teaching_progress(state: AppState) -> str:
    """Return how far the teaching is; nothing if the tab cannot be opened."""
    if not state.files:
        return ""
    try:
        return render("progress.html.j2", view=state.teach.progress())
    except UserError:  # told by the upper part
        return ""
