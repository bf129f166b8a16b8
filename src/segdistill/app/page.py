"""The Gradio page: tabs, controls and event handlers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from segdistill.app import views
from segdistill.app.correspondences import By
from segdistill.app.requests import MovePoint, Navigation, OpenImage, OpenPage, read_request
from segdistill.app.state import AppState
from segdistill.app.teaching_view import Place
from segdistill.images.finding import SUFFIXES

if TYPE_CHECKING:
    import gradio as gr

FirstTab = Literal["images", "teach"]
OPACITY_PERCENT = 55
CENTRE = (0.5, 0.5)
# Minimum width of controls in pixels, below which they are stacked, as on a phone.
MIN_CONTROL_WIDTH = 280
UPLOADS_KEPT_SECONDS = 3600
SET_OPACITY = "v => {document.documentElement.style.setProperty('--mask-opacity', v / 100)}"
BY = [("learned codes", "codes"), ("backbone features", "features")]
# Events are internal to the page and not part of an API.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
QUIET = PRIVATE | {"show_progress": "hidden"}


def build_page(
    state: AppState, compare: Path | None = None, *, tab: FirstTab = "images"
) -> "gr.Blocks":
    """Build the page without serving it.

    Args:
        state: state of the app.
        compare: run that is initially selected for comparison.
        tab: the tab that is open at first.
    """
    import gradio as gr  # noqa: PLC0415 - an extra, and slow to import

    with gr.Blocks(
        analytics_enabled=False,
        fill_width=True,
        title=f"{state.run.folder.resolve().name} – segdistill",
        delete_cache=(UPLOADS_KEPT_SECONDS, UPLOADS_KEPT_SECONDS),
    ) as page:
        gr.HTML(lambda: views.heading(state), apply_default_css=False, js_on_load=None)
        opacity = gr.Slider(0, 100, OPACITY_PERCENT, step=5, label="Mask opacity (%)")
        opacity.input(None, opacity, None, js=SET_OPACITY, **PRIVATE)
        with gr.Tabs(selected=tab):
            with gr.Tab("Images", id="images") as images_tab:
                _gallery(state, images_tab, page if tab == "images" else None)
            with gr.Tab("Classes") as classes_tab:
                _classes(state, classes_tab)
            with gr.Tab("Teach", id="teach") as teach_tab:
                _teach(state, teach_tab, page if tab == "teach" else None)
            with gr.Tab("Try an image") as trial_tab:
                _trial(state, trial_tab)
            with gr.Tab("Correspondences") as correspondences_tab:
                _correspondences(state, correspondences_tab)
            with gr.Tab("Compare runs") as compare_tab:
                _comparison(state, compare_tab, compare)
    return cast("gr.Blocks", page)


def _gallery(state: AppState, tab: Any, page: Any | None) -> None:
    """Add the gallery, shown when a tab is opened, and when the page is, if one is given."""
    import gradio as gr  # noqa: PLC0415

    view = _view("gallery")
    location = gr.State({"page": 0, "index": None})

    def show(location: dict[str, Any], progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        if location["index"] is not None:
            return views.large(state, location["index"])
        return views.gallery(state, location["page"], _reporter(progress, "Segmenting image"))

    def go(location: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        match read_request(event._data, Navigation):  # noqa: SLF001 - all that was sent
            case OpenImage(index=index):
                return location | {"index": index}
            case OpenPage(page=page):
                return {"page": page, "index": None}
        return location | {"index": None}

    if page is not None:
        page.load(show, location, view, **PRIVATE)
    tab.select(show, location, view, **PRIVATE)
    view.action(go, location, location, **PRIVATE).then(show, location, view, **PRIVATE)


def _classes(state: AppState, tab: Any) -> None:
    import gradio as gr  # noqa: PLC0415

    view = _view("classes")

    def show(progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        return views.classes(state.classes(_reporter(progress, "Finding examples in image")))

    def change(event: gr.EventData, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        data = event._data  # noqa: SLF001 - all that was sent
        return views.classes(state.change(data, _reporter(progress, "Segmenting image")))

    tab.select(show, None, view, **PRIVATE)
    view.action(change, None, view, **PRIVATE)


def _teach(state: AppState, tab: Any, page: Any | None) -> None:
    """Add the Teach tab, shown when it is opened, and when the page is, if one is given."""
    import gradio as gr  # noqa: PLC0415

    waiting = views.notice(
        "Computing the features of the images; this takes longest the first time."
    )
    view = _view("teaching", "teaching.js", first=waiting)
    masks = _view("taught", "teaching.js")
    progress = gr.HTML(elem_id="teaching-progress", apply_default_css=False)
    given = _view("given", "teaching.js")
    place = gr.State(Place())

    def show(report: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        def told(what: str, done: int, of: int) -> None:
            report((done, of), desc=what, unit="images")

        return views.teaching(state, told)

    def change(event: gr.EventData) -> str:
        return views.changed(state, event._data)  # noqa: SLF001 - all that was sent

    def change_or_turn(place: Place, event: gr.EventData) -> tuple[Place, Any]:
        data = event._data  # noqa: SLF001 - all that was sent
        turned = place.turned(data)
        return (place, views.changed(state, data)) if turned is None else (turned, gr.skip())

    def then_the_rest(shown: Any) -> None:
        below = partial(views.below_question, state)
        following = shown.then(below, place, [masks, given], **QUIET)
        following.then(partial(views.teaching_progress, state), None, progress, **QUIET)

    if page is not None:
        then_the_rest(page.load(show, None, view, **PRIVATE))
    then_the_rest(tab.select(show, None, view, **PRIVATE))
    # All that is drawn counts, even while an answer is on its way.
    every = QUIET | {"trigger_mode": "multiple", "concurrency_id": "teach"}
    then_the_rest(view.action(change, None, view, **every))
    for each in (masks, given):
        then_the_rest(each.action(change_or_turn, place, [place, view], **every))


def _trial(state: AppState, tab: Any) -> None:
    import gradio as gr  # noqa: PLC0415

    dropped = gr.File(label="Image to segment", file_types=sorted(SUFFIXES), height=160)
    view = _view("trial")

    def show(path: str | None) -> str:
        if path is None:
            return views.notice("Drop or choose an image above. It stays on this computer.")
        return views.trial(state, Path(path))

    dropped.change(show, dropped, view, **PRIVATE)
    tab.select(show, dropped, view, **PRIVATE)


def _correspondences(state: AppState, tab: Any) -> None:
    import gradio as gr  # noqa: PLC0415

    with gr.Row():
        number = _image_slider(state)
        by = gr.Radio(BY, value="codes", label="Compare by", min_width=MIN_CONTROL_WIDTH)
    view = _view("correspondences")
    point = gr.State(CENTRE)

    def show(number: int, point: tuple[float, float], by: By) -> str:
        return views.correspondences(state, int(number) - 1, (point[0], point[1]), by)

    def move(by: By, event: gr.EventData) -> tuple[Any, tuple[float, float], str]:
        data = event._data  # noqa: SLF001 - all that was sent
        asked = cast("MovePoint", read_request(data, MovePoint))
        index = min(max(asked.index, 0), len(state.files) - 1)
        return index + 1, (asked.x, asked.y), show(index + 1, (asked.x, asked.y), by)

    given = [number, point, by]
    tab.select(show, given, view, **PRIVATE)
    number.input(show, given, view, trigger_mode="always_last", **PRIVATE)
    by.input(show, given, view, **PRIVATE)
    view.action(move, by, [number, point, view], trigger_mode="always_last", **PRIVATE)


def _comparison(state: AppState, tab: Any, compare: Path | None) -> None:
    import gradio as gr  # noqa: PLC0415

    siblings = state.sibling_runs()
    first = [] if compare is None else [compare]
    runs = [
        *first,
        *(each for each in siblings if each not in {*first, *(f.resolve() for f in first)}),
    ]
    with gr.Row():
        number = _image_slider(state)
        folder = gr.Dropdown(
            [(_short(each, runs), str(each)) for each in runs],
            value=str(runs[0]) if runs else None,
            label="Other run",
            min_width=MIN_CONTROL_WIDTH,
            info=None if runs else "No other runs in this folder; restart with --compare RUN2.",
        )
    view = _view("comparison")

    def show(number: int, folder: str | None) -> str:
        return views.comparison(state, int(number) - 1, folder)

    tab.select(show, [number, folder], view, **PRIVATE)
    number.input(show, [number, folder], view, trigger_mode="always_last", **PRIVATE)
    folder.input(show, [number, folder], view, **PRIVATE)


def _view(name: str, *scripts: str, first: str = "") -> Any:
    """Return an HTML component that shows a template and sends the user's actions.

    Args:
        name: identifies it in the page.
        *scripts: scripts that follow ``events.js``.
        first: what is shown at first.
    """
    import gradio as gr  # noqa: PLC0415

    script = "\n".join(map(views.part, ("events.js", *scripts)))
    return gr.HTML(first or None, elem_id=name, apply_default_css=False, js_on_load=script)


def _image_slider(state: AppState) -> Any:
    import gradio as gr  # noqa: PLC0415

    count = max(len(state.files), 1)
    return gr.Slider(
        1,
        max(count, 2),
        1,
        step=1,
        label=f"Image (1 to {count})",
        interactive=count > 1,
        min_width=MIN_CONTROL_WIDTH,
    )


def _short(folder: Path, among: list[Path]) -> str:
    """Return the name of a run, or its path if names are not unique."""
    alike = [each for each in among if each.name == folder.name]
    return folder.name if len(alike) == 1 else str(folder)


def _reporter(progress: Any, what: str) -> Callable[[int, int], None]:
    def report(done: int, of: int) -> None:
        progress((done, of), desc=f"{what} {done + 1} of {of}", unit="images")

    return report
