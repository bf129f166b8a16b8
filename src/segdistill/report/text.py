"""Formatting of numbers, durations and settings for display."""

from collections.abc import Sequence

from segdistill.config.settings import FitSettings
from segdistill.objective.class_relations import MergeProposal

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

RARELY, OFTEN = 0.02, 0.2
"""Thresholds for the share of their borders that two classes have in common."""

OBJECTIVES = {
    "stego": "distilling feature correspondences (STEGO)",
    "smooseg": "smooth assignments to prototypes (SmooSeg)",
    "eagle": "contrast between objects (EAGLE)",
    "primaps": "prototypes of principal masks (PriMaPs-EM)",
    "hp": "contrast with hidden positives (HP)",
    "cause": "contrast between concepts (CAUSE)",
}
STAGES = {
    "features": "Features of the images",
    "statistics": "Statistics of the features",
    "neighbours": "Nearest neighbours",
    "monitored locations": "Monitored locations",
    # Written by earlier versions.
    "locations to watch": "Monitored locations",
    "places to watch": "Monitored locations",
    "training": "Training",
    "clustering": "Clustering",
    "relating clusters": "Relating clusters",
}
SHIFTS = {
    "self_pairs": "Within one image",
    "neighbour_pairs": "With a neighbour",
    "random_pairs": "With random images",
    "depth_pairs": "By depth, within one image",
}


def method(settings: FitSettings) -> str:
    """Return how the classes were found.

    Example:
        >>> method(FitSettings(method="kmeans"))
        'clustering the features directly (k-means)'
    """
    if settings.method == "kmeans":
        return "clustering the features directly (k-means)"
    name = settings.objective.name
    return OBJECTIVES.get(name, f"an objective of your own ({name})")


def percent(share: float) -> str:
    """Format a share in 0..1 as a percentage.

    Example:
        >>> [percent(share) for share in (0.0, 0.0004, 0.01, 0.024, 0.62)]
        ['0%', '<0.1%', '1%', '2.4%', '62%']
    """
    value = share * 100
    if value == 0:
        text = "0"
    elif value < 0.1:
        text = "<0.1"
    else:
        text = f"{value:.0f}" if value >= 9.95 else f"{round(value, 1):g}"
    return f"{text}%"


def duration(seconds: float) -> str:
    """Format a duration with at most two units.

    Example:
        >>> [duration(span).replace(NO_BREAK_SPACE, " ") for span in (0.42, 42.4, 85.7, 7512)]
        ['0.4 s', '42 s', '1 min 26 s', '2 h 5 min']
    """
    if seconds < 10:
        return f"{seconds:.1f}{NO_BREAK_SPACE}s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        parts = [f"{hours} h", f"{minutes} min"]
    elif minutes:
        parts = [f"{minutes} min", f"{rest} s"]
    else:
        parts = [f"{rest} s"]
    return " ".join(parts).replace(" ", NO_BREAK_SPACE)


def number(value: float) -> str:
    """Format a number with four significant digits and a typographic minus sign.

    Example:
        >>> number(-0.123456), number(12.0)
        ('−0.1235', '12')
    """
    return f"{value:.4g}".replace("-", "−")


def counted(count: int, one: str, many: str = "") -> str:
    """Format a count with its noun.

    Example:
        >>> counted(1, "image"), counted(1200, "image"), counted(2, "class", "classes")
        ('1 image', '1,200 images', '2 classes')
    """
    noun = one if count == 1 else many or f"{one}s"
    return f"{count:,} {noun}"


def setting_rows(settings: FitSettings) -> list[tuple[str, str]]:
    """List settings by their full names, as on the command line.

    Example:
        >>> setting_rows(FitSettings())[:2]
        [('dataset', 'not set'), ('classes', 'not set')]
    """
    return [(name, plain_value(value)) for name, value in settings.flattened().items()]


def plain_value(value: object) -> str:
    """Format a setting for people.

    Example:
        >>> plain_value(True), plain_value(None), plain_value([1, 2])
        ('true', 'not set', '1, 2')
    """
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(plain_value, value))
    return str(value)


def description_of_shares(name: str, shares: Sequence[tuple[str, float]]) -> str:
    """List the classes of an image in one line, largest first.

    Args:
        shares: names of classes and their shares of the pixels, 0..1.

    Example:
        >>> description_of_shares("a.jpg", [("sky", 0.25), ("sea", 0.75), ("sand", 0.0)])
        'a.jpg: sea 75%, sky 25%'
    """
    held = sorted(((share, each) for each, share in shares if share > 0), key=lambda p: -p[0])
    return f"{name}: " + ", ".join(f"{each} {percent(share)}" for share, each in held)


def merge_reason(proposal: MergeProposal) -> str:
    """Explain why two classes may be the same.

    Example:
        >>> print(merge_reason(MergeProposal((0, 2), 0.2, 0.25, 0.8, 0.9, 0.001)))
        When the light changes, 25% of their locations change from one class to the other. They \
are 80% similar in the classes above and below, 90% similar in position, and almost never side by \
side.
    """
    near = (
        "almost never"
        if proposal.beside < RARELY
        else "often"
        if proposal.beside > OFTEN
        else "sometimes"
    )
    return (
        f"When the light changes, {percent(proposal.relit)} of their locations change from one"
        f" class to the other. They are {percent(proposal.surroundings)} similar in the classes"
        f" above and below, {percent(proposal.positions)} similar in position, and {near} side by"
        " side."
    )
