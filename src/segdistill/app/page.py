"""The page: tabs, what is in them, and what happens when a person does something."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from segdistill.app import views
from segdistill.app.correspondences import By
from segdistill.app.rendering import part
from segdistill.app.state import AppState
from segdistill.images.finding import SUFFIXES

if TYPE_CHECKING:
    import gradio as gr

OPACITY_PERCENT = 55
MIDDLE = (0.5, 0.5)
# Controls narrower than this go below one another, as on a phone.
NARROWEST = 280
UPLOADS_KEPT_SECONDS = 3600
SET_OPACITY = "v => {document.documentElement.style.setProperty('--mask-opacity', v / 100)}"
BY = [("what was learned (codes)", "codes"), ("the backbone (features)", "features")]
# Events of the page serve the page; they are no interface for programs.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}


def build_page(state: AppState, compare: Path | None = None) -> "gr.Blocks":
    """Return the page; it is not served yet.

    Args:
        state: what it shows.
        compare: the run chosen at first for comparison.
    """
    import gradio as gr  # noqa: PLC0415 - an extra, and slow to import

    with gr.Blocks(
        analytics_enabled=False,
        fill_width=True,
        title=f"{state.run.folder.resolve().name} – segdistill",
        delete_cache=(UPLOADS_KEPT_SECONDS, UPLOADS_KEPT_SECONDS),
    ) as page:
        gr.HTML(lambda: views.heading(state), apply_default_css=False, js_on_load=None)
        opacity = gr.Slider(
            0, 100, OPACITY_PERCENT, step=5, label="Opacity of the classes, in percent"
        )
        opacity.input(None, opacity, None, js=SET_OPACITY, **PRIVATE)
        with gr.Tabs():
            with gr.Tab("Images") as images_tab:
                _gallery(state, page, images_tab)
            with gr.Tab("Classes") as classes_tab:
                _classes(state, classes_tab)
            with gr.Tab("Try an image") as trial_tab:
                _trial(state, trial_tab)
            with gr.Tab("Correspondences") as correspondences_tab:
                _correspondences(state, correspondences_tab)
            with gr.Tab("Compare runs") as compare_tab:
                _comparison(state, compare_tab, compare)
    return cast("gr.Blocks", page)


def _gallery(state: AppState, page: Any, tab: Any) -> None:
    import gradio as gr  # noqa: PLC0415

    view = _view("gallery")
    place = gr.State({"page": 0, "index": None})

    def show(place: dict[str, Any], progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        if place["index"] is not None:
            return views.large(state, place["index"])
        return views.gallery(state, place["page"], _told(progress, "Segmenting image"))

    def go(place: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        wish = views.wish_of(event._data)  # noqa: SLF001 - all that was sent
        if wish.get("do") == "open":
            return place | {"index": int(wish["index"])}
        if wish.get("do") == "page":
            return {"page": int(wish["page"]), "index": None}
        return place | {"index": None}

    page.load(show, place, view, **PRIVATE)
    tab.select(show, place, view, **PRIVATE)
    view.wish(go, place, place, **PRIVATE).then(show, place, view, **PRIVATE)


def _classes(state: AppState, tab: Any) -> None:
    import gradio as gr  # noqa: PLC0415

    view = _view("classes")

    def show(progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        return views.classes(state.classes(_told(progress, "Looking for examples in image")))

    def change(event: gr.EventData, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        wish = views.wish_of(event._data)  # noqa: SLF001 - all that was sent
        return views.classes(state.change(wish, _told(progress, "Segmenting image")))

    tab.select(show, None, view, **PRIVATE)
    view.wish(change, None, view, **PRIVATE)


def _trial(state: AppState, tab: Any) -> None:
    import gradio as gr  # noqa: PLC0415

    dropped = gr.File(label="Image to segment", file_types=sorted(SUFFIXES), height=160)
    view = _view("trial")

    def show(path: str | None) -> str:
        if path is None:
            return views.notice("Drop an image above, or choose one: it stays on this computer.")
        return views.trial(state, Path(path))

    dropped.change(show, dropped, view, **PRIVATE)
    tab.select(show, dropped, view, **PRIVATE)


def _correspondences(state: AppState, tab: Any) -> None:
    import gradio as gr  # noqa: PLC0415

    with gr.Row():
        number = _image_slider(state)
        by = gr.Radio(BY, value="codes", label="Compare by", min_width=NARROWEST)
    view = _view("correspondences")
    point = gr.State(MIDDLE)

    def show(number: int, point: tuple[float, float], by: By) -> str:
        return views.correspondences(state, int(number) - 1, (point[0], point[1]), by)

    def move(number: int, by: By, event: gr.EventData) -> tuple[Any, tuple[float, float], str]:
        wish = views.wish_of(event._data)  # noqa: SLF001 - all that was sent
        index = min(max(int(wish.get("index", number - 1)), 0), len(state.files) - 1)
        x, y = (min(max(float(wish.get(axis, 0.5)), 0.0), 1.0) for axis in "xy")
        return index + 1, (x, y), show(index + 1, (x, y), by)

    given = [number, point, by]
    tab.select(show, given, view, **PRIVATE)
    number.input(show, given, view, trigger_mode="always_last", **PRIVATE)
    by.input(show, given, view, **PRIVATE)
    view.wish(move, [number, by], [number, point, view], trigger_mode="always_last", **PRIVATE)


def _comparison(state: AppState, tab: Any, compare: Path | None) -> None:
    import gradio as gr  # noqa: PLC0415

    beside = state.runs_beside()
    first = [] if compare is None else [compare]
    runs = [
        *first,
        *(each for each in beside if each not in {*first, *(f.resolve() for f in first)}),
    ]
    with gr.Row():
        number = _image_slider(state)
        folder = gr.Dropdown(
            [(_short(each, runs), str(each)) for each in runs],
            value=str(runs[0]) if runs else None,
            label="Other run",
            min_width=NARROWEST,
            info=None if runs else "No run lies next to this one; start with --compare RUN2.",
        )
    view = _view("comparison")

    def show(number: int, folder: str | None) -> str:
        return views.comparison(state, int(number) - 1, folder)

    tab.select(show, [number, folder], view, **PRIVATE)
    number.input(show, [number, folder], view, trigger_mode="always_last", **PRIVATE)
    folder.input(show, [number, folder], view, **PRIVATE)


def _view(name: str) -> Any:
    """Return a part of the page that the templates fill and whose wishes are listened to."""
    import gradio as gr  # noqa: PLC0415

    return gr.HTML(elem_id=name, apply_default_css=False, js_on_load=part("events.js"))


def _image_slider(state: AppState) -> Any:
    import gradio as gr  # noqa: PLC0415

    count = max(len(state.files), 1)
    return gr.Slider(
        1,
        max(count, 2),
        1,
        step=1,
        label=f"Image, 1 to {count}",
        interactive=count > 1,
        min_width=NARROWEST,
    )


def _short(folder: Path, among: list[Path]) -> str:
    """Return a run's name; with its folder where two have the same."""
    alike = [each for each in among if each.name == folder.name]
    return folder.name if len(alike) == 1 else str(folder)


def _told(progress: Any, what: str) -> Callable[[int, int], None]:
    def tell(done: int, of: int) -> None:
        progress((done, of), desc=f"{what} {done + 1} of {of}", unit="images")

    return tell
