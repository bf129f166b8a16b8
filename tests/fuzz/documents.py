"""Targets: files of text that the library or people write."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from segdistill.api.extracting import FeaturesRecord
from segdistill.cli.fit import fit
from segdistill.cli.parser import CommandParser
from segdistill.cli.settings_file import values_from_files
from segdistill.config.settings import FitSettings
from segdistill.decoding.image_reading import ImageReading
from segdistill.errors import UserError
from segdistill.evaluation.record import (
    CurveRecord,
    EvaluationRecord,
    KindScores,
    LabelClassScores,
    read_record,
    write_record,
)
from segdistill.images.depth_files import DepthDescription, settings_beside
from segdistill.images.palette import VOID
from segdistill.inference.mask_classes import MaskClass, check_same_classes, read_classes
from segdistill.inference.mask_folder import ImageRow, image_table, read_image_rows
from segdistill.json_files import as_json, from_json
from segdistill.labels.class_names import read_class_names
from segdistill.labels.label_files import listed_values
from segdistill.labels.label_map import MOST_CLASSES, UNLISTED
from segdistill.labels.label_map_file import read_label_map
from segdistill.layout import (
    CLASSES_FILE,
    DEPTH_FILE,
    FACTS_FILE,
    FEATURES_FILE,
    HISTORY_FILE,
    SCORES_FILE,
    SETTINGS_FILE,
)
from segdistill.model.description import SegmentClass
from segdistill.naming.words import read_words
from segdistill.objective.stego import Shifts
from segdistill.runs.facts import AgreementRecord, ClassCount, Facts, SkippedFile
from segdistill.runs.folder import RunFolder
from segdistill.runs.history import StepRecord, read_history, write_history
from segdistill.storage import LocalFolder
from tests.fuzz.target import Target

STEPS = [StepRecord(step, 0.5, 0.25, -0.25, 0.0, 1.5, linear_accuracy=0.5) for step in (1, 2)]
CLASSES = (
    MaskClass(0, "sky", (70, 130, 180), (0, 2), pixels=12, share=0.25, centres="0af3"),
    MaskClass(1, "Straße", (128, 64, 128), (1,), hidden=True, pixels=36, share=0.75),
)
ROWS = [ImageRow("a/b.png", (3, 1), 0.25), ImageRow('c "d", e.png', (0, 8))]
LABEL_MAPS = (
    """classes:
  - {name: road, numbers: 7}
  - {name: side, numbers: [8, 10-12, '-9..-7'], colours: '#F423e8'}
  - {name: sky, colours: [70, 130, 180]}
ignore: [0-6, 65535]
""",
    "classes: [road, {name: sky}, car]\noffset: 7\nsuffix: {images: _rgb, labels: _gt}\n",
    "offset: 1\nignore: [0, 255]\nsuffix: _gt\n",
)


def documents() -> list[Target]:
    """Return the targets."""
    return [
        Target("facts", _facts, _facts_seeds, "json", file=FACTS_FILE),
        Target("evaluation", _evaluation, _evaluation_seeds, "json", file=SCORES_FILE),
        Target("mask_classes", _mask_classes, _mask_classes_seeds, "json"),
        Target("mask_table", _mask_table, _mask_table_seeds),
        Target("features_json", _features, _features_seeds, "json", file=FEATURES_FILE),
        Target("depth_json", _depth, _depth_seeds, "json", file=DEPTH_FILE),
        Target("history", _history, _history_seeds, file=HISTORY_FILE),
        Target("run_settings", _run_settings, _run_settings_seeds, "yaml", file=SETTINGS_FILE),
        Target("config", _config(), _config_seeds, "yaml", file="config.yaml"),
        Target("label_map", _label_map, _label_map_seeds, "yaml", file="labels.yaml"),
        Target("word_lists", _word_lists, _word_list_seeds),
        Target("value_options", _value_options, _value_option_seeds),
    ]


def _facts(content: bytes, folder: Path) -> None:
    run = RunFolder(folder)
    (folder / FACTS_FILE).write_bytes(content)
    facts = run.read_facts()
    assert all(file.path.name for file in facts.image_files)
    if facts.class_count is not None:
        _ = facts.class_count.stability_of_chosen, facts.class_count.is_default
    run.write_facts(facts)
    _assert_same(run.read_facts(), facts)


def _facts_seeds() -> list[bytes]:
    count = ClassCount(6, (3, 6), (0.95, 0.9), (0.7, 0.6), 0.8, 3, 24, "low")
    facts = Facts(
        images=2,
        files={"/photos": ["a.png", "caf\udce9.png"]},
        skipped=(SkippedFile("/photos/b.png", "empty"),),
        seconds={"training": 80.5},
        shifts=Shifts(0.1, 0.2, 0.3),
        agreement_history=(AgreementRecord(50, 0.5),),
        environment={"torch": "2.6", "threads": 2},
        kept_step=75,
        class_count=count,
        levels={"coarse": 3, "medium": 6, "fine": 24},
    )
    early = {
        "images": 3,
        "looks": [{"step": 50, "agreement": 0.5}],
        "class_count": asdict(count) | {"stands_out": True},
    }
    return [as_json(facts).encode(), json.dumps(early).encode()]


def _evaluation(content: bytes, folder: Path) -> None:
    (folder / SCORES_FILE).write_bytes(content)
    record = read_record(folder)
    write_record(folder, record)
    _assert_same(read_record(folder), record)


def _evaluation_seeds() -> list[bytes]:
    record = EvaluationRecord(
        segdistill="1",
        run="runs/a",
        images=2,
        skipped=(SkippedFile("a.png", "empty"),),
        protocol={"crf": False, "resolution": 320},
        scores={
            "cluster": KindScores(
                accuracy=0.5,
                mean_iou=0.25,
                boundary_f=None,
                classes=(LabelClassScores(index=0, name="sky", iou=None, matched=3),),
                unmatched=(1,),
            )
        },
        correspondences=(CurveRecord("codes", 0.5, 0.1, 100),),
    )
    return [as_json(record).encode()]


def _mask_classes(content: bytes, folder: Path) -> None:
    (folder / CLASSES_FILE).write_bytes(content)
    out = LocalFolder(folder)
    classes = read_classes(out, fix="write them again")
    assert classes is not None
    for each in classes:
        assert 0 <= each.index <= 255
        assert len(each.colour) == 3
        assert each.members
    check_same_classes(out, CLASSES)


def _mask_classes_seeds() -> list[bytes]:
    early = [{"index": 0, "name": "sky", "colour": [0, 0, 9], "pixels": 4, "share": 1.0}]
    return [as_json(CLASSES).encode(), json.dumps(early).encode()]


def _mask_table(content: bytes, folder: Path) -> None:
    earlier = read_image_rows(content.decode("utf-8", "replace"))
    classes: Sequence[SegmentClass] = CLASSES
    table = image_table(ROWS, classes, 0.2, earlier)
    again = read_image_rows(table)
    assert {row.name for row in ROWS} <= again.keys()
    assert image_table([], classes, 0.2, again) == table


def _mask_table_seeds() -> list[bytes]:
    return [image_table(ROWS, CLASSES, 0.2).encode(), image_table(ROWS[:1], CLASSES, None).encode()]


def _features(content: bytes, folder: Path) -> None:
    options: Any = {"name": FEATURES_FILE, "what": "maps", "fix": "write them again"}
    record = from_json(content, FeaturesRecord, **options)
    _assert_same(from_json(as_json(record), FeaturesRecord, **options), record)
    if record.reading is not None:
        _ = record.reading.key, record.reading.fill, record.reading.ranges_for(3)


def _features_seeds() -> list[bytes]:
    reading = ImageReading((4, 3, 2), (((0.0, 99.5),) * 3,), border=0.25)
    record = FeaturesRecord(
        segdistill="1",
        kind="codes",
        backbone="tiny",
        fingerprint="0af3",
        model="0af4",
        resolution=64,
        reading=reading,
        stride=8,
        channels=6,
        maps=3,
    )
    return [as_json(record).encode(), b'{"kind": "features", "fingerprint": "0", "resolution": 64}']


def _depth(content: bytes, folder: Path) -> None:
    (folder / "maps").mkdir(exist_ok=True)
    (folder / "maps" / DEPTH_FILE).write_bytes(content)
    settings = settings_beside(folder / "maps")
    if settings is not None:
        assert 0 < settings.scale < math.inf


def _depth_seeds() -> list[bytes]:
    inverse = DepthDescription(version="1", model="small", kind="inverse", scale=None, invalid=0)
    metres = DepthDescription(version="1", model="large", kind="depth", scale=1 / 256, invalid=0)
    return [as_json(inverse).encode(), as_json(metres).encode(), b'{"program": "another"}']


def _history(content: bytes, folder: Path) -> None:
    path = folder / HISTORY_FILE
    path.write_bytes(content)
    history = read_history(path)
    write_history(path, history)
    _assert_same(read_history(path), history)


def _history_seeds() -> list[bytes]:
    def text(history: Sequence[StepRecord]) -> bytes:
        lines = [
            ",".join(asdict(history[0])),
            *(",".join(map(str, asdict(s).values())) for s in history),
        ]
        return "\r\n".join([*lines, ""]).encode()

    return [
        text(STEPS),
        b"step,total,self_pairs,neighbour_pairs,random_pairs,clusters\n1,0,0,0,0,0\n",
    ]


def _run_settings(content: bytes, folder: Path) -> None:
    run = RunFolder(folder)
    path = folder / SETTINGS_FILE
    path.write_bytes(content)
    settings = run.read_settings()
    _ = settings.flattened(), settings.needs_labels, settings.estimates_classes
    path.unlink()
    run.begin(settings, resume=False)
    _assert_same(run.read_settings().flattened(), settings.flattened())
    path.unlink()
    try:
        settings.validated()
    except UserError as error:
        assert SETTINGS_FILE not in str(error)  # it names the setting instead
        raise UserError(f"{SETTINGS_FILE}: {error}") from error


def _run_settings_seeds() -> list[bytes]:
    import yaml

    plain = FitSettings(classes=12, labels=Path("labels"), value_range="0,4095").as_plain()
    few = {"classes": 8, "depth": {"invalid": 0, "scale": 0.5}, "training": {"steps": 100}}
    return [yaml.safe_dump(each, sort_keys=False).encode() for each in (plain, few)]


def _config() -> Callable[[bytes, Path], object]:
    arguments = CommandParser("fit", fit, {}, distributed=True).arguments

    def read(content: bytes, folder: Path) -> None:
        path = folder / "config.yaml"
        path.write_bytes(content)
        values = values_from_files({"config": [path]}, arguments)
        assert values.keys() <= arguments.keys()

    return read


def _config_seeds() -> list[bytes]:
    merged = b"head: &a {channels: 70, kind: linear}\ndepth: {invalid: [0, 1.5]}\nseed: 1\n"
    return [*_run_settings_seeds(), merged, b"classes: 8\nstrict: true\nbands: 4,3,2\n"]


def _label_map(content: bytes, folder: Path) -> None:
    path = folder / "labels.yaml"
    path.write_bytes(content)
    label_map = read_label_map(path)
    values = np.array([-(2**62), -1, 0, 1, 7, 8, 254, 255, 256, 65535, 2**62], np.int64)
    colours = np.array([-(2**62), 0, 0x010101, 0xF423E8, 0xFFFFFF], np.int64)
    for numbers, coloured in ((values, False), (colours, True)):
        classes = label_map.classes_of(numbers, coloured=coloured)
        count = len(label_map.names) or MOST_CLASSES
        assert np.all(
            (classes == UNLISTED) | (classes == VOID) | ((classes >= 0) & (classes < count))
        )
        listed = listed_values(label_map, coloured=coloured)
        assert (np.diff(listed) > 0).all()


def _label_map_seeds() -> list[bytes]:
    return [each.encode() for each in LABEL_MAPS]


def _word_lists(content: bytes, folder: Path) -> None:
    path = folder / "words.txt"
    path.write_bytes(content)
    try:
        names = read_class_names(path)
        assert all(name.strip() == name and name for name in names)
    except UserError as error:
        assert path.name in str(error)
    assert all(0 < len(word) <= 200 for word in read_words(path))


def _word_list_seeds() -> list[bytes]:
    return ["road\n sky  # blue\nStraße\n".encode(), b"\xef\xbb\xbfa\r\nb\r\n", b"traffic  light"]


def _value_options(content: bytes, folder: Path) -> None:
    bands, _, value_range = content.decode("utf-8", "replace").partition("\n")
    reading = ImageReading.chosen(bands or None, value_range or None)
    assert all(band > 0 for band in reading.bands)
    for ranges in reading.ranges:
        assert all(-math.inf < low < high < math.inf for low, high in ranges)
    assert ImageReading.from_plain(json.loads(json.dumps(reading.as_plain()))) == reading


def _value_option_seeds() -> list[bytes]:
    return [b"4,3,2\n-1024,3071", b"all\n0,1e3", b"1"]


def _assert_same(one: object, other: object) -> None:
    # As text, since NaN differs from itself.
    assert repr(one) == repr(other), f"{one!r} became {other!r}"[:2000]
