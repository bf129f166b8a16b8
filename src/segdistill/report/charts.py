"""Charts of the pages as inline SVG; importing this module imports matplotlib."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from segdistill.evaluation.precision_recall import PrecisionRecall
from segdistill.figures.curves import (
    Curve,
    agreement_curve,
    class_count_figure,
    curve_figure,
    loss_curves,
    recall_figure,
    series_style,
)
from segdistill.figures.style import PAGE_COLOURS, inline_svg, paper_style
from segdistill.report import text
from segdistill.runs.facts import ClassCount, Facts
from segdistill.runs.history import StepRecord


def curve_cards(history: Sequence[StepRecord], facts: Facts) -> list[dict[str, Any]]:
    """Return the title, meaning, chart and values of the agreement, if any, and of each loss."""
    losses, agreement = loss_curves(history), agreement_curve(facts.agreement_history)
    curves = [agreement, *losses] if agreement and losses else losses
    return [_card(curve) for curve in curves]


def _card(curve: Curve) -> dict[str, Any]:
    identity = f"curve-{curve.title.lower().replace(' ', '-')}"
    description = f"{curve.title} over the training steps. The table below lists its values."
    with paper_style():
        chart = _chart(curve_figure(curve), identity, description)
    entries = [(name, text.number(value), step) for name, value, step in curve.entries]
    return {
        "id": identity,
        "title": curve.title,
        "meaning": curve.meaning,
        "chart": chart,
        "entries": entries,
    }


def class_count_chart(count: ClassCount) -> Markup:
    """Return a chart of the candidate numbers of classes."""
    description = "Agreement and separation over the number of classes. The table lists all values."
    series = (count.candidates, count.stability, count.silhouette, count.chosen)
    with paper_style():
        return _chart(class_count_figure(*series), "count-chart", description)


def recall_chart(curves: Sequence[PrecisionRecall]) -> tuple[Markup, list[tuple[str, bool]]]:
    """Return a precision-recall chart, and for each curve its colour and whether it is dashed."""
    description = "Precision over recall. The table lists the average precisions."
    with paper_style():
        chart = _chart(recall_figure(curves), "recall", description)
    styles = [series_style(number) for number in range(len(curves))]
    return chart, [(PAGE_COLOURS[colour], dashes != "-") for colour, dashes in styles]


def _chart(figure: Figure, identity: str, description: str) -> Markup:
    # matplotlib escapes the text in a chart.
    return Markup(inline_svg(figure, identity, description))  # noqa: S704
