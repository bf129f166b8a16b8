"""Segmenting as work for an engine: images and masks wherever they lie."""

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
        run: run folder that each worker sees, or a model.
        out: where masks go.
        options: how, and what else to write.
        backbone: where the backbone lies now, if it has moved.
        device: where to compute.
        precision: of matrix products.
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
            A function that writes the masks of rows by
            :func:`segdistill.engines.staging.item_row`. To each row it yields belong the mask's
            ``pixels`` of each class.

        Raises:
            UserError: the run cannot be loaded.
        """
        segmenter = self.run
        if not isinstance(segmenter, Segmenter):
            segmenter = Segmenter.load(
                segmenter, backbone=self.backbone, device=self.device, precision=self.precision
            )

        def make(jobs: Sequence[Job], folder: Path) -> Iterator[Row]:
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
                # Whoever shares the compute writes it, once.
                (folder / CLASSES_FILE).unlink(missing_ok=True)

        return lambda rows: run_staged(rows, self.out, make)
