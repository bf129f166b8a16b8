"""``segdistill app``, ``figures`` and ``correspond``: looking at a run."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from segdistill.cli.arguments import Value
from segdistill.cli.options import Existing, File, Folder, Loading, Name, Run, check_path
from segdistill.cli.outcome import command_line
from segdistill.config.validation import Range
from segdistill.errors import UserError
from segdistill.figures.options import FigureOptions, FormatName

if TYPE_CHECKING:
    from segdistill.app.page import FirstTab
    from segdistill.images.finding import ImageFile

OtherRun = Annotated[str, Value("RUN")]
Port = Annotated[int, Range("from 1 to 65535", lambda port: 1 <= port <= 65535)]


@dataclass(frozen=True)
class Serving:
    """Where the app is served.

    Attributes:
        port: port to listen on (default: the first free one from 7860)
        host: address to listen on; 0.0.0.0 allows access from other computers
        no_browser: print the address, but do not open a browser
    """

    port: Port | None = None
    host: str = "127.0.0.1"
    no_browser: bool = False


def app(
    run: Run,
    *,
    images: Existing | None = None,
    compare: OtherRun | None = None,
    serving: Serving,
    loading: Loading,
) -> None:
    """Open a run in the browser: name, merge and hide its classes, and try images.

    It also shows correspondences and can teach the run your classes. Changes are saved in the run
    at once and can be undone. The page is served on this computer only and needs no network.

    Args:
        images: images to show: folder, file or quoted glob pattern (default: those the run was
            fitted on)
        compare: another run, shown side by side with this one (default: none)

    Example:
        segdistill app runs/photos
    """
    serve(run, images, serving, loading, compare=compare)
    print(f"\nChanges are saved in the run. Next: {command_line('segment', Path(run), 'IMAGES')}")


def serve(
    run: str,
    images: str | None,
    serving: Serving,
    loading: Loading,
    *,
    compare: str | None = None,
    tab: "FirstTab" = "images",
    **teaching: Any,
) -> None:
    """Serve the app until Ctrl-C.

    Args:
        run: run folder.
        images: images to show; by default those of the fit.
        serving: where it is served.
        loading: how the run is loaded.
        compare: another run, shown side by side with this one.
        tab: the tab that is open at first.
        **teaching: how the run is taught; see :class:`segdistill.app.state.AppState`.
    """
    from segdistill.app import server

    server.require_gradio()

    from segdistill.app.page import build_page
    from segdistill.app.state import AppState

    folder, other = Path(run), None if compare is None else Path(compare)
    files = images_of(folder, images)
    state = AppState(folder, files, **vars(loading), **teaching)
    if other is not None:
        state.other(other)
    if not server.is_local(serving.host):
        print(
            f"Warning: with --host {serving.host}, anyone who can reach this computer can see the"
            " images and change the classes"
        )
    with (
        closing(state),
        server.serving(
            lambda: build_page(state, other, tab=tab), host=serving.host, port=serving.port
        ) as running,
    ):
        print(f"Run:    {folder}")
        print(f"Images: {len(files)}{'' if files else '; give some with --images FOLDER'}")
        print(f"Page:   {running.url}", flush=True)
        print("Press Ctrl-C to stop.", flush=True)
        if not serving.no_browser:
            server.open_browser(running.url)
        running.wait()


def images_of(folder: Path, given: str | None) -> "list[ImageFile]":
    """Return the images given, or those that a run was fitted on and that still exist."""
    from segdistill.images.finding import find_images

    if given is not None:
        return find_images(given)

    from segdistill.runs.folder import RunFolder

    known = RunFolder(folder).read_facts().image_files
    return [file for file in known if file.path.exists()]


def figures(
    run: Run,
    *,
    images: Sequence[Existing] | None = None,
    labels: Annotated[str, Value("FOLDER", check=check_path)] | None = None,
    label_map: File | None = None,
    kmeans: OtherRun | None = None,
    columns: int = 5,
    rows: int = 1,
    show: Sequence[Name] | None = None,
    crf: bool = False,
    out: Folder | None = None,
    format: Sequence[FormatName] = ("png", "svg"),  # noqa: A002 - the name of the option
    overwrite: bool = False,
    loading: Loading,
    quiet: bool = False,
) -> None:
    """Draw figures for a paper.

    They show images with labels, k-means and segments, a legend, IoU per class and training curves.

    Args:
        images: images to show and to score (default: those of the fit)
        labels: folder of label files with the images' names (default: no labels, no IoU)
        label_map: YAML file that maps numbers or colours of the label files to classes;
            docs/reading.md describes it (default: numbers are class indices, and 255 means 'not
            labelled')
        kmeans: run to compare with (default: k-means on the backbone's features of --images)
        columns: number of images side by side
        rows: number of rows of images
        show: images of --images to show (default: evenly spaced ones)
        crf: also show segments refined by the fully connected CRF
        out: folder for the figures; other files in the folder are kept (default: figures/NAME)
        format: file formats, one or several
        overwrite: replace existing figures

    Example:
        segdistill figures runs/photos --images val/imgs --labels val/labels
    """
    from segdistill import draw_figures

    written = draw_figures(
        run,
        Path(out or Path("figures") / Path(run).resolve().name),
        images=images,
        labels=labels,
        label_map=label_map,
        kmeans=kmeans,
        options=FigureOptions(
            columns=columns,
            rows=rows,
            show=tuple(show or ()),
            crf=crf,
            formats=tuple(dict.fromkeys(format)),
            overwrite=overwrite,
        ),
        **vars(loading),
        progress=not quiet,
    )
    for path in written:
        print(f"Figure: {path}")


def correspond(
    run: Run,
    first: Annotated[str, Value("IMAGE", check=check_path)],
    second: Annotated[str, Value("OTHER", check=check_path)] | None = None,
    *,
    point: Annotated[str, Value("X,Y")] | None = None,
    out: File = "correspondences.png",
    animation: File | None = None,
    overwrite: bool = False,
    loading: Loading,
) -> None:
    """Draw what a point of an image corresponds to, in the same image and in another one.

    Correspondences are those of the backbone's features and of the learned codes.

    Args:
        first: image that contains the point
        second: image to search for correspondences (default: IMAGE)
        point: point in IMAGE, in pixels (default: its centre)
        out: picture to write
        animation: also write this .gif or .mp4, in which the point moves (default: no animation)
        overwrite: replace existing pictures

    Example:
        segdistill correspond runs/photos beach.jpg dunes.jpg --point 120,80
    """
    picture, moving = Path(out), Path(animation) if animation else None
    if picture.suffix.lower() != ".png":
        raise UserError(f"--out {picture}: must end with .png")
    for path, option in ((picture, "--out"), (moving, "--animation")):
        if path is not None and path.exists() and not overwrite:
            raise UserError(f"{path}: already exists; add --overwrite or choose another {option}")

    from segdistill.inference.animation import check_animation

    if moving is not None:
        check_animation(moving)

    from segdistill.decoding.decode import read_image
    from segdistill.inference.correspondences import (
        draw_correspondences,
        embed,
        write_animation,
        write_png,
    )
    from segdistill.model.segmenter import Segmenter

    # Before the model is loaded, so that a wrong point is reported at once.
    height, width = read_image(Path(first)).shape[:2]
    where = relative_point(point, width, height)
    segmenter = Segmenter.load(run, **vars(loading))
    images = [segmenter.read(Path(path)) for path in (first, second or first)]
    one, other = (embed(segmenter, image) for image in images)
    write_png(picture, draw_correspondences(one, other, where))
    print(f"Picture:   {picture}")
    if moving is not None:
        write_animation(moving, one, other)
        print(f"Animation: {moving}")


def relative_point(text: str | None, width: int, height: int) -> tuple[float, float]:
    """Return a point given in pixels, by default the centre, as fractions of width and height.

    Example:
        >>> relative_point("30,10", 120, 20)
        (0.25, 0.5)
    """
    if text is None:
        return 0.5, 0.5
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--point {text}: must be x,y in pixels, such as 120,80") from error
    if not (0 <= x <= width and 0 <= y <= height):
        raise UserError(f"--point {text}: outside the image of {width}x{height} pixels")
    return x / width, y / height
