"""Label maps: what they may say, and one line for every mistake."""

from pathlib import Path

import numpy as np
import pytest

from segdistill.errors import UserError
from segdistill.images.palette import VOID
from segdistill.labels.label_files import listed_values
from segdistill.labels.label_map import UNLISTED, LabelMap
from segdistill.labels.label_map_file import read_label_map


def written(folder: Path, text: str) -> Path:
    path = folder / "labels.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def classes(label_map: LabelMap, *values: int, coloured: bool = False) -> list[int]:
    found = label_map.classes_of(np.array(values, np.int64), coloured=coloured)
    return [int(value) for value in found]


def test_numbers_ranges_and_colours_of_classes(tmp_path: Path) -> None:
    text = """
        classes:
          - {name: road, numbers: 7}
          - {name: side, numbers: [8, 10-12, "-9..-7"], colours: "#F423e8"}
          - {name: sky, colours: [70, 130, 180]}
          - {name: car, colours: [[0, 0, 142], "#000000"]}
        ignore: [0-6, -1, 65535, "#ffffff", [1, 2, 3]]
    """
    found = read_label_map(written(tmp_path, text))
    assert found.names == ("road", "side", "sky", "car")
    assert classes(found, 7, 8, 10, 11, 12, -9, -8, -7) == [0] + [1] * 7
    assert classes(found, 0, 6, -1, 65535) == [VOID] * 4
    assert classes(found, 9, 13, -10, 254) == [UNLISTED] * 4
    colours = (0xF423E8, 0x4682B4, 0x00008E, 0, 0xFFFFFF, 0x010203, 0x010204)
    assert classes(found, *colours, coloured=True) == [1, 2, 3, 3, VOID, VOID, UNLISTED]
    # A grey colour and its number are the same, if only one of them is listed.
    assert classes(found, 0x070707, coloured=True) == [0]
    assert classes(found, 255) == [VOID]


def test_classes_without_numbers_count_up_from_the_offset(tmp_path: Path) -> None:
    found = read_label_map(written(tmp_path, "classes: [road, {name: sky}, car]\noffset: 7\n"))
    assert classes(found, 7, 8, 9, 255) == [0, 1, 2, VOID]
    assert classes(found, 6, 10, 0) == [UNLISTED] * 3


def test_an_offset_and_ignored_numbers_without_classes(tmp_path: Path) -> None:
    found = read_label_map(written(tmp_path, "offset: 1\nignore: [0, 255, 65535]\n"))
    assert found.names == ()
    assert classes(found, 0, 1, 5, 254, 255, 65535, -1) == [VOID, 0, 4, 253, VOID, VOID, VOID]
    assert classes(found, 256, 70000) == [UNLISTED] * 2
    only = read_label_map(written(tmp_path, "ignore: 0\n"))
    assert classes(only, 0, 1, 7) == [VOID, 1, 7]


def test_255_is_ignored_unless_it_is_a_class(tmp_path: Path) -> None:
    binary = "classes: [{name: ground, numbers: 0}, {name: thing, numbers: 255}]\n"
    assert classes(read_label_map(written(tmp_path, binary)), 0, 255) == [0, 1]
    other = "classes: [{name: thing, numbers: 1}]\nignore: [0]\n"
    assert classes(read_label_map(written(tmp_path, other)), 0, 255) == [VOID, UNLISTED]


def test_numbers_are_what_they_look_like(tmp_path: Path) -> None:
    text = "classes: [{name: 'a', numbers: 010}, {name: 1:30, numbers: ['7', +5, -3]}]"
    found = read_label_map(written(tmp_path, text))
    assert found.names == ("a", "1:30")
    assert classes(found, 10, 8, 7, 5, -3) == [0, UNLISTED, 1, 1, 1]


def test_colours_that_a_map_lists(tmp_path: Path) -> None:
    colours = "classes: [{name: a, numbers: 7, colours: '#010203'}, {name: b, colours: '#090909'}]"

    def listed(text: str, *, coloured: bool = True) -> list[int]:
        found = listed_values(read_label_map(written(tmp_path, text)), coloured=coloured)
        return [int(value) for value in found]

    assert listed(colours) == [0x010203, 0x090909]
    assert listed(colours + "\nignore: ['#0a0b0c', 255, 0]") == [
        *(0, 0x010203, 0x090909, 0x0A0B0C, 0xFFFFFF)
    ]
    assert listed(colours, coloured=False) == [7, 9, 255]
    assert listed("classes: [{name: a, numbers: 7}]") == [0x070707]


def test_suffixes(tmp_path: Path) -> None:
    text = "suffix: {images: _leftImg8bit, labels: _gtFine_labelIds}\n"
    found = read_label_map(written(tmp_path, text))
    assert (found.image_suffix, found.label_suffix) == ("_leftImg8bit", "_gtFine_labelIds")
    assert read_label_map(written(tmp_path, "suffix: _mask\n")).label_suffix == "_mask"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold keys"),
        ("- 1", "must hold keys"),
        ("clases: []", "unknown key clases; the keys are classes, ignore, offset, suffix"),
        ("x" * 900 + ": 1", "unknown key x"),
        ("classes: [{name: a, number: 1}]", "classes[0]: unknown key number; the keys are name"),
        ("classes: [{numbers: 1}]", "classes[0]: lacks the key name"),
        ("classes: [{name: no}]", "classes[0].name: must be text; put it in quotes"),
        ("classes: [a, b, a]", "classes[2].name: 'a' is also the name of classes[0]"),
        ("classes: ['']", "classes[0].name: is empty"),
        ("classes: 3", "classes: must be a list of names, such as [road, car]"),
        ("classes: {road: 7}", "classes: must be a list of names"),
        ("classes: []", "classes: is empty; list at least one"),
        ("classes:", "classes: must be a list of names"),
        ("classes: [3]", "classes[0]: must be a name, or like {name: road"),
        ("classes: [{name: [1]}]", "classes[0].name: must be text; put it in quotes"),
        ('classes: ["a\\nb"]', "classes[0].name: 'a\\nb' contains line breaks or control"),
        (
            'classes: ["a\\e[31mb"]',
            "classes[0].name: 'a\\x1b[31mb' contains line breaks or control",
        ),
        ("classes: [{name: a, numbers: 1:30}]", "classes[0].numbers: '1:30' is not one of these"),
        ("classes: [{name: a, numbers: 0x10}]", "classes[0].numbers: '0x10' is not one of these"),
        (
            "classes: [{name: a, numbers: [1, 4-9]}, {name: b, numbers: 6}]",
            "classes[1] ('b'): 6 is listed in classes[0] ('a') and in classes[1] ('b')",
        ),
        ("classes: [{name: a, numbers: [3, 3]}]", "classes[0] ('a'): 3 is listed twice"),
        ("classes: [{name: a, numbers: 3}]\nignore: [3]", "ignore: 3 is listed in classes[0]"),
        (
            "classes: [{name: a, colours: '#000000'}, {name: b, colours: [0, 0, 0]}]",
            "classes[1] ('b'): \"#000000\" is listed in classes[0] ('a') and in",
        ),
        ("classes: [{name: a, numbers: 9-4}]", "classes[0].numbers: '9-4' is a range from high"),
        ("classes: [{name: a, numbers: 1.5}]", "classes[0].numbers: numbers are whole numbers"),
        ("classes: [{name: a, numbers: red}]", "classes[0].numbers: 'red' is not one of these"),
        ("classes: [{name: a, numbers: true}]", "classes[0].numbers: "),
        (f"classes: [{{name: a, numbers: {10**30}}}]", "classes[0].numbers: "),
        (
            "classes:\n  - name: a\n    colours: #804080",
            "classes[0].colours: is empty (an unquoted #",
        ),
        ("classes: [{name: a, colours: [1, 2]}]", "classes[0].colours: 1 is not one of these"),
        ("classes: [{name: a, colours: [1, 2, 256]}]", "classes[0].colours: [1, 2, 256] is not"),
        ("classes: [{name: a, colours: '#12345'}]", "classes[0].colours: '#12345' is not"),
        ("classes: [{name: a, colours: [#804080]}]", "not YAML in line 1"),
        (
            "classes: [{name: a, numbers: 1}, b]\noffset: 2",
            "offset: classes[0] ('a') lists its own",
        ),
        ("offset: one", "offset: must be a whole number such as 1"),
        ("offset: 1.5", "offset: must be a whole number such as 1"),
        ("suffix: {labels: 7}", "suffix.labels: must be text; put it in quotes"),
        ("suffix: {label: _x}", "suffix: unknown key label; the keys are images, labels"),
        ("suffix: [_x]", "suffix: must be like {images: "),
        ("ignore: {a: 1}", "ignore: numbers are whole numbers"),
        ("ignore: [[[1]]]", "ignore"),
        ("ignore: 0\nignore: 1", "the key 'ignore' appears twice"),
        ("a: &a [1]\nb: *a", "aliases (*) are not allowed"),
        ("a: [", "not YAML"),
        ("classes:\n\t- a", "not YAML in line 2"),
        ("[" * 5000, "not YAML"),
        ("{1: 2}", "keys must be text, such as `classes:`"),
        ("ignore: !!python/object/apply:os.system [ls]", "not YAML"),
        (
            f"classes: [{', '.join(f'c{n}' for n in range(256))}]",
            "classes: 256 classes; at most 255",
        ),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_label_map(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: {message}") or f"{path}: not YAML" in said
    assert "Expected" not in said
    assert ("quotes" in said.partition("not YAML")[2]) == ("[#804080]" in text)
    assert message in said
    assert len(said) < len(str(path)) + 400
    assert len(said.splitlines()) == 1


def test_a_few_bytes_make_no_huge_message(tmp_path: Path) -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]")
    text = "\n".join([*lines, "ignore: *i"])
    assert len(text) < 500
    with pytest.raises(UserError, match="aliases") as caught:
        read_label_map(written(tmp_path, text))
    assert len(str(caught.value)) < 400


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: no such file"):
        read_label_map(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="is a folder"):
        read_label_map(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"a\.yaml: not UTF-8"):
        read_label_map(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(UserError, match=r"b\.yaml: too long for a label map"):
        read_label_map(tmp_path / "b.yaml")
