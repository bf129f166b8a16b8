"""Segmentation as work for an engine, for local or remote images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.engines.staging import Job, run_staged
from segdistill.engines.work import Row
from segdistill.images.folder import SkippedImage
from segdistill.images.geotiff import is_raster
from segdistill.inference.mask_files import write_masks
from segdistill.inference.masks import CLASSES_FILE
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions
from segdistill.model.segmenter import Segmenter
from segdistill.storage import Folder


@dataclass(frozen=True)
class MaskWork:
    """Writes masks of images.

    Attributes:
        run: a run folder accessible to each worker, or a model.
        out: output folder.
        options: segmentation options.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on.
        precision: precision of matrix products.
    """

    run: str | Segmenter
    out: Folder
    options: MaskOptions
    backbone: str | None = None
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"

    def start(self, *, threads: int) -> Callable[[Sequence[Row]], Iterator[Row]]:
        """Load the model; see :class:`segdistill.engines.work.Work`.

        Returns:
            A function that writes the masks for rows from
            :func:`segdistill.engines.staging.item_row`; the rows it yields include the number of
            ``pixels`` of each class.

        Raises:
            UserError: the run cannot be loaded.
        """
        segmenter = self.run
        if not isinstance(segmenter, Segmenter):
            segmenter = Segmenter.load(
                segmenter, backbone=self.backbone, device=self.device, precision=self.precision
            )

        def process(jobs: Sequence[Job], folder: Path) -> Iterator[Row]:
            outputs = {
                job.file: job.output.with_suffix(RASTER_SUFFIX)
                if is_raster(job.file.path)
                else job.output
                for job in jobs
            }
            files = list(outputs)
            for result in write_masks(
                segmenter, files, outputs, folder, self.options, threads=threads
            ):
                if isinstance(result, SkippedImage):
                    yield {"name": result.file.name.as_posix(), "reason": result.reason}
                else:
                    yield {
                        "name": result.file.name.as_posix(),
                        "output": outputs[result.file].as_posix(),
                        "pixels": result.pixels.tolist(),
                        "distance": result.distance,
                    }
            if self.out.path is None:
                # The coordinating process writes this file once.
                (folder / CLASSES_FILE).unlink(missing_ok=True)

        return lambda rows: run_staged(rows, self.out, process)
