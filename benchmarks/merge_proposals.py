"""How many proposed merges join classes with the same label, compared with centre distance alone.

For each level of a run, a class gets the label of most of its pixels. Of the first five pairs that
each criterion proposes, the table shows the share whose classes have the same label: for the
criterion of `segdistill classes --propose` (change of light, surroundings) and for the cosine
similarity of the classes' mean codes. Labels are used only for scoring.

    python -m benchmarks.merge_proposals RUN IMAGES LABELS --count 100
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from segdistill import labelled_folders
from segdistill.api.reclustering import at_level
from segdistill.clustering.code_clusters import prototype_classes
from segdistill.clustering.proposals import PROPOSALS, proposals_for
from segdistill.evaluation.confusion import ConfusionMatrix
from segdistill.labels.label_files import read_labels
from segdistill.model.class_sets import ClassSet
from segdistill.model.levels import LEVEL_NAMES
from segdistill.model.segmenter import Segmenter
from segdistill.objective.spherical_kmeans import group_sums

Pairs = list[tuple[int, int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument(
        "--count", type=int, default=100, help="number of labelled images, evenly spaced"
    )
    options = parser.parse_args()
    segmenter = Segmenter.load(options.run)
    labelled = labelled_folders(options.images, options.labels)
    files = [(image.path, labels) for image, labels in labelled.pairs]
    chosen = np.linspace(0, len(files) - 1, min(options.count, len(files))).round().astype(int)
    print("| level | classes | same label by chance | proposals | centre distance |")
    print("|---|---|---|---|---|")
    for level in LEVEL_NAMES:
        model = at_level(segmenter, level)
        matrix = ConfusionMatrix(len(model.classes))
        for index in chosen:
            path, labels = files[index]
            matrix.update(model.segment(path), read_labels(labels))
        label_of = matrix.counts.argmax(axis=1)
        pairs = [tuple(each) for each in np.argwhere(np.triu(np.ones([len(label_of)] * 2), 1))]
        shares = [
            np.mean([label_of[one] == label_of[other] for one, other in each])
            for each in (pairs, proposed(model), nearest(model))
        ]
        print(f"| {level} | {len(label_of)} | {' | '.join(f'{share:.2f}' for share in shares)} |")


def proposed(model: Segmenter) -> Pairs:
    classes = ClassSet(model.classes, model.centres.cpu())
    return [each.classes for each in proposals_for(model.prototypes, model.code_maps, classes)]


def nearest(model: Segmenter) -> Pairs:
    if model.prototypes is None:
        raise SystemExit("The run has no prototypes; fit again")
    owners = prototype_classes(model.prototypes, ClassSet(model.classes, model.centres.cpu()))
    sums = group_sums(model.prototypes.vectors, torch.from_numpy(owners), len(model.classes))
    directions = F.normalize(sums, dim=1)
    similarity = np.triu((directions @ directions.mT).numpy(), 1)
    order = similarity.ravel().argsort()[::-1][:PROPOSALS]
    return [divmod(int(each), len(model.classes)) for each in order]


if __name__ == "__main__":
    main()
