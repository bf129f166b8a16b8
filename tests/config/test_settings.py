"""Settings: ranges, and conversion to plain values and back."""

import json

import pytest
import yaml

from segdistill.config.settings import (
    CacheSettings,
    FitSettings,
    HeadSettings,
    ObjectiveSettings,
    TrainingSettings,
)
from segdistill.errors import UserError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (FitSettings(classes=1), "--classes 1: must be from 2 to 255"),
        (FitSettings(resolution=8), "--resolution 8: must be at least 32"),
        (FitSettings(components=1), "--components 1: must be 0 or at least 2"),
        (FitSettings(seed=-1), "--seed -1"),
        (FitSettings(head=HeadSettings(dropout=1.0)), r"--head\.dropout 1\.0"),
        (FitSettings(objective=ObjectiveSettings(attract_self=2)), r"--objective\.attract_self 2"),
        (FitSettings(training=TrainingSettings(steps=0)), r"--training\.steps 0"),
        (FitSettings(cache=CacheSettings(max_gigabytes=-1)), r"--cache\.max_gigabytes -1"),
    ],
)
def test_numbers_out_of_range_are_named(settings: FitSettings, message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings.validated()


def test_defaults_are_valid_and_plain() -> None:
    plain = FitSettings().validated().as_plain()
    assert json.loads(json.dumps(plain)) == plain
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
