"""Teach a run your classes from a table of clicks.

python teach_from_table.py runs/photos clicks.csv

The table has the columns ``image``, ``x``, ``y`` and ``class``; x and y are pixels.
"""

import sys

import segdistill


def main(run: str, clicks: str) -> None:
    taught = segdistill.teach(run, clicks)
    names = ", ".join(each.name for each in taught.segmenter.classes)
    print(f"{taught.added} answers added; the classes of {taught.folder} are {names}")
    for line in taught.skipped:
        print(f"not used: {line}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
