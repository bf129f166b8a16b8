"""Settings: of the declared type, finite and in range, or reported by name."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import segdistill
from segdistill.config.settings import (
    CacheSettings,
    DepthSettings,
    FitSettings,
    HeadSettings,
    ObjectiveSettings,
    TrainingSettings,
)
from segdistill.errors import UserError


def odd(settings_class: Any, **values: Any) -> Any:
    """Return settings with values that a type checker would reject."""
    return settings_class(**values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "foo"}, r"--method 'foo': must be one of 'stego', 'kmeans'"),
        ({"method": ["stego"]}, "--method"),
        ({"classes": "8"}, "--classes '8': must be a whole number or None"),
        ({"classes": 8.0}, r"--classes 8\.0: must be a whole number"),
        ({"classes": True}, "--classes True: must be a whole number"),
        ({"seed": None}, "--seed None: must be a whole number$"),
        ({"strict": 1}, "--strict 1: must be true or false"),
        ({"backbone": None}, "--backbone None: must be text"),
        ({"crop_ratio": "half"}, "--crop-ratio 'half': must be a number"),
        ({"labels": 3}, "--labels 3: must be a path or None"),
        ({"labels": ""}, "--labels '': must be a path or None"),
        ({"clases": 3}, "unknown setting 'clases'; did you mean 'classes'"),
        ({"steps": 20}, r"'steps'; pass training=segdistill\.TrainingSettings\(steps=20\)$"),
        ({"epochs": 20}, r"pass training=segdistill\.TrainingSettings\(steps=\.\.\.\)$"),
        (
            {"concepts": 5},
            r"pass objective=segdistill\.ObjectiveSettings\(cause=segdistill\.CauseSettings\(conc",
        ),
        ({"temperature": 1}, "did you mean 'objective.smooseg.temperature' or 'objective.eagle"),
        ({"n_clusters": 3}, "did you mean 'classes'"),
        ({"traning": 3}, "did you mean 'training'"),
        ({"zzz": 3}, "unknown setting 'zzz'; the settings are backbone, bands, cache"),
        ({"settings": {"classes": 3}}, "settings of type dict: must be FitSettings"),
        ({"head": {"channels": 8}}, r"--head \{'channels': 8\}: must be segdistill.HeadSettings"),
        ({"head": {"chanels": 8}}, r"unknown setting 'head.chanels'; did you mean 'head.channels'"),
        ({"head": None}, "--head None: must be segdistill.HeadSettings"),
        ({"depth": odd(DepthSettings, invalid="0")}, "--depth.invalid '0': must be numbers sep"),
        ({"depth": odd(DepthSettings, invalid=[0, "1"])}, "must be numbers separated by commas"),
        ({"depth": odd(DepthSettings, invalid=[0, float("nan")])}, "must be a finite number"),
        (
            {"head": odd(HeadSettings, channels=8.5)},
            r"--head.channels 8\.5: must be a whole number",
        ),
        ({"head": odd(HeadSettings, kind="x")}, "--head.kind 'x': must be one of"),
        ({"head": odd(HeadSettings, dropout=float("nan"))}, "--head.dropout nan: must be a finite"),
        (
            {"objective": odd(ObjectiveSettings, weight_self=float("inf"))},
            "--objective.weight-self inf: must be a finite number",
        ),
        (
            {"objective": odd(ObjectiveSettings, shift_random=np.float32("nan"))},
            "--objective.shift-random nan: must be a finite number",
        ),
        (
            {"training": odd(TrainingSettings, learning_rate=10**400)},
            "--training.learning-rate inf: must be a finite number",
        ),
        ({"training": odd(TrainingSettings, steps=0)}, "--training.steps 0: must be at least 1"),
        ({"cache": odd(CacheSettings, folder=5)}, "--cache.folder 5: must be a path or None"),
        ({"extra_clusters": 248}, "--extra-clusters 248: .* with the classes, at most 255"),
        ({"method": "x" * 500}, r"--method 'x{40,60}\.\.\.: must be"),
    ],
)
def test_a_mistake_in_python_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        segdistill.fit("nowhere", **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (FitSettings(classes=1), "--classes 1: must be from 2 to 255"),
        (FitSettings(resolution=8), "--resolution 8: must be from 32 to 8192"),
        (FitSettings(components=1), "--components 1: must be 0 or at least 2"),
        (FitSettings(seed=-1), "--seed -1"),
        (FitSettings(head=HeadSettings(dropout=1.0)), r"--head\.dropout 1\.0"),
        (FitSettings(objective=ObjectiveSettings(attract_self=2)), r"--objective\.attract-self 2"),
        (FitSettings(training=TrainingSettings(steps=0)), r"--training\.steps 0"),
        (FitSettings(cache=CacheSettings(max_gigabytes=-1)), r"--cache\.max-gigabytes -1"),
    ],
)
def test_numbers_out_of_range_are_named(settings: FitSettings, message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings.validated()


def test_other_types_of_numbers_and_paths_become_plain() -> None:
    usual = FitSettings(
        classes=np.int64(8),  # type: ignore[arg-type]
        labels="labels",  # type: ignore[arg-type]
        crop_ratio=1,
        objective=ObjectiveSettings(weight_self=np.float32(0.5)),  # type: ignore[arg-type]
        cache=CacheSettings(folder="store"),  # type: ignore[arg-type]
    ).validated()
    assert usual == FitSettings(
        classes=8,
        labels=Path("labels"),
        crop_ratio=1.0,
        objective=ObjectiveSettings(weight_self=0.5),
        cache=CacheSettings(folder=Path("store")),
    )
    assert type(usual.classes) is int
    assert type(usual.objective.weight_self) is float
    plain = usual.as_plain()
    assert yaml.safe_load(yaml.safe_dump(plain)) == json.loads(json.dumps(plain)) == plain


def names_of_all(settings_class: Any = FitSettings) -> Iterator[tuple[str, ...]]:
    for field in fields(settings_class):
        yield (field.name,)
        group: Any = field.default_factory
        if is_dataclass(group):
            yield from ((field.name, *below) for below in names_of_all(group))


@hypothesis_settings(deadline=None)
@given(
    name=st.sampled_from(sorted(names_of_all())),
    value=st.one_of(st.none(), st.text(), st.floats(), st.binary(), st.lists(st.integers())),
)
def test_any_value_of_a_setting_is_valid_or_reported_by_name(
    name: tuple[str, ...], value: object
) -> None:
    changed, option = value, f"--{'.'.join(name).replace('_', '-')}"
    for depth in reversed(range(1, len(name))):
        group = reduce(getattr, name[:depth], FitSettings())
        changed = odd(type(group), **{name[depth]: changed})
    try:
        usable = odd(FitSettings, **{name[0]: changed}).validated()
    except UserError as error:
        message = str(error)
    else:
        message = option
        assert usable.validated() == usable
        assert yaml.safe_load(yaml.safe_dump(usable.as_plain())) == usable.as_plain()
    assert message.startswith(option)


@pytest.mark.parametrize("invalid", [0, 0.0, [0], (0.0,), np.float32(0)])
def test_one_number_is_a_list_of_one(invalid: object) -> None:
    settings = FitSettings(depth=odd(DepthSettings, invalid=invalid)).validated()
    assert settings.depth.invalid == (0.0,)
    assert settings.as_plain()["depth"]["invalid"] == 0.0
