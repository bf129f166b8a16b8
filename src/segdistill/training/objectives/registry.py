"""The registry of objectives: how each is made, and which settings it uses."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches

from segdistill.config.settings import FitSettings, ObjectiveSettings
from segdistill.config.validation import as_literal, dashed
from segdistill.errors import UserError
from segdistill.training.objectives.cause import CauseObjective
from segdistill.training.objectives.eagle import EagleObjective
from segdistill.training.objectives.hidden_positives import HiddenPositivesObjective
from segdistill.training.objectives.primaps import PriMaPsObjective
from segdistill.training.objectives.protocol import Objective, ObjectiveInputs
from segdistill.training.objectives.smooseg import SmooSegObjective
from segdistill.training.objectives.stego import StegoObjective

MakeObjective = Callable[[ObjectiveInputs], Objective]

DEFAULT = ObjectiveSettings()
COMMON = frozenset(
    each.name
    for each in fields(ObjectiveSettings)
    if each.name != "name" and not is_dataclass(getattr(DEFAULT, each.name))
)
"""The settings of an objective that belong to no section."""

SECTIONS = frozenset(each.name for each in fields(ObjectiveSettings)) - COMMON - {"name"}

RANDOM_PAIRS = frozenset({"samples", "interpolate", "random_draws"})
CORRESPONDENCES = COMMON - {
    *("weight_reconstruction", "weight_crf", "weight_alignment", "augmentations", "correlations")
}
"""The settings of the three correspondence losses, without optional terms."""


@dataclass(frozen=True)
class ObjectiveEntry:
    """An objective that can be chosen by name.

    Attributes:
        make: makes it.
        uses: the settings in common that it uses; changes of the others are refused.
        has_depth: whether depth guides it.
    """

    make: MakeObjective
    uses: frozenset[str] = frozenset()
    has_depth: bool = False


BUILT_IN = {
    "stego": ObjectiveEntry(StegoObjective, COMMON, has_depth=True),
    "smooseg": ObjectiveEntry(
        SmooSegObjective,
        RANDOM_PAIRS
        | {"shift_self", "shift_random", "attract_self", "attract_random", "feature_dropout"},
    ),
    "eagle": ObjectiveEntry(EagleObjective, CORRESPONDENCES),
    "primaps": ObjectiveEntry(PriMaPsObjective),
    "hp": ObjectiveEntry(HiddenPositivesObjective),
    "cause": ObjectiveEntry(CauseObjective, frozenset({"samples"})),
}
_ENTRIES = dict(BUILT_IN)


def objective_names() -> tuple[str, ...]:
    """Return the names of all objectives, those of segdistill first."""
    return tuple(_ENTRIES)


def register_objective(name: str, make: MakeObjective, *, uses: Iterable[str] = ()) -> None:
    """Register an objective of your own, for ``objective=ObjectiveSettings(name=...)``.

    Registering a name of your own again replaces the objective.

    Args:
        name: as for ``objective.name``.
        make: makes the objective from :class:`ObjectiveInputs`, for instance its class.
        uses: names of those :class:`ObjectiveSettings` that it uses, such as ``samples``; changes
            of others are refused.

    Raises:
        UserError: the name is taken by an objective of segdistill, or ``uses`` names no setting.
    """
    if name in BUILT_IN:
        raise UserError(f"{name}: the name of an objective of segdistill; choose another")
    unknown = sorted(set(uses) - COMMON)
    if unknown:
        raise UserError(f"{unknown[0]}: not a setting of the objective")
    _ENTRIES[name] = ObjectiveEntry(make, frozenset(uses))


def make_objective(inputs: ObjectiveInputs) -> Objective:
    """Make the objective that the settings name.

    Raises:
        UserError: there is none of that name.
    """
    return _entry(inputs.settings.objective.name).make(inputs)


def check_objective(settings: FitSettings) -> None:
    """Check that the objective exists, and uses every setting that differs from its default.

    Raises:
        UserError: it does not exist, or a setting would have no effect.
    """
    objective = settings.objective
    if settings.method != "stego" and objective.name != "stego":
        raise UserError(
            f"--objective.name {objective.name}: --method {settings.method} trains no head; omit"
            " one of them"
        )
    entry = _entry(objective.name)
    for name in sorted(COMMON - entry.uses):
        value = getattr(objective, name)
        if value != getattr(DEFAULT, name):
            users = ", ".join(each for each, other in _ENTRIES.items() if name in other.uses)
            raise UserError(
                f"--objective.{dashed(name)} {as_literal(value)}: has no effect on the objective"
                f" {objective.name}, only on {users}; omit it"
            )
    for name in sorted(SECTIONS - {objective.name}):
        if getattr(objective, name) != getattr(DEFAULT, name):
            raise UserError(
                f"--objective.{name}.*: has no effect on the objective {objective.name}; add"
                f" --objective.name {name}, or omit it"
            )
    if settings.wants_depth and not entry.has_depth:
        raise UserError(
            f"--objective.name {objective.name}: is not guided by depth; omit --depth.*, or add"
            " --depth.guide off"
        )


def _entry(name: str) -> ObjectiveEntry:
    if name in _ENTRIES:
        return _ENTRIES[name]
    near = get_close_matches(name, _ENTRIES, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(_ENTRIES)}"
    raise UserError(f"--objective.name {name}: no such objective; {hint}")
