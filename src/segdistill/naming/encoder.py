"""Image and text encoders: CLIP or SigLIP, from the hub or a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from segdistill.backbones.huggingface import (
    NetworkFiles,
    NetworkKind,
    first_line,
    quiet_transformers,
    read_normalisation,
)
from segdistill.backbones.protocol import normalise_images
from segdistill.devices import Compute, choose_compute
from segdistill.errors import UserError

DEFAULT_MODEL = "openai/clip-vit-base-patch32"
IMAGE_BATCH = 16
TEXT_BATCH = 256

NETWORKS = NetworkKind(
    "--model",
    {"clip": "CLIPModel", "siglip": "SiglipModel"},
    advice="Run `hf download {hub_id} --local-dir FOLDER` on a machine with access and pass"
    " --model FOLDER, or name classes by hand: `segdistill name RUN 3=road`.",
    unused=("position_ids",),  # not learned, and only some checkpoints contain them
    files=(
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "spiece.model",
    ),
)

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
MOST_SIDE = 8192
"""No encoder takes larger images; more would exhaust memory."""


@dataclass(frozen=True)
class ImagePreprocessing:
    """Image preprocessing of an encoder.

    Equal to the processors of transformers, which differ between versions and mistake images of
    three rows or fewer for images with channels first.

    Attributes:
        side: side of the square input, in pixels.
        stretch: resize both sides to ``side``; otherwise resize the shorter side and centre-crop.
        resampling: Pillow resampling filter.
        mean: mean of each channel, for images in 0..1.
        std: standard deviation of each channel.
    """

    side: int
    stretch: bool
    resampling: int = int(Image.Resampling.BICUBIC)
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    def preprocess(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """Resize, crop and normalise an image.

        Shapes: (height, width, 3) in 0..255 to (3, side, side) in float32.

        Example:
            >>> picture = np.zeros((20, 40, 3), np.uint8)
            >>> ImagePreprocessing(8, stretch=False).preprocess(picture).shape
            torch.Size([3, 8, 8])
        """
        rows = columns = self.side
        if not self.stretch:
            shorter = min(picture.shape[:2])
            rows, columns = (self.side * each // shorter for each in picture.shape[:2])
        resized = Image.fromarray(picture).resize(
            (columns, rows), Image.Resampling(self.resampling)
        )
        top, left = (rows - self.side) // 2, (columns - self.side) // 2
        middle = np.array(resized)[top : top + self.side, left : left + self.side]
        pixels = torch.from_numpy(middle).permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
        return normalise_images(pixels.float() / 255, self.mean, self.std)[0]


def read_preprocessing(files: NetworkFiles) -> ImagePreprocessing:
    """Read the image preprocessing of an encoder.

    Raises:
        UserError: the preprocessor config is invalid.
    """
    is_clip = files.model_type == "clip"

    def parse(stated: dict[str, Any]) -> ImagePreprocessing:
        # The input size of the network takes precedence over the preprocessor config.
        side = int((files.config.get("vision_config") or {}).get("image_size", 224))
        if not 1 <= side <= MOST_SIDE:
            raise ValueError(f"image_size must be from 1 to {MOST_SIDE}")
        mean, std = (CLIP_MEAN, CLIP_STD) if is_clip else (HALF, HALF)
        return ImagePreprocessing(
            side,
            not stated.get("do_center_crop", is_clip),
            int(Image.Resampling(stated.get("resample", 3))),
            *read_normalisation(stated, mean, std),
        )

    return files.preprocessing(parse)


class Encoder(Protocol):
    """Embeds images and texts in one space."""

    @property
    def scale(self) -> float:
        """Factor of cosine similarities before the softmax."""

    def embed_images(self, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Return unit vectors, shape (images, channels), of images (height, width, 3)."""

    def embed_texts(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return unit vectors, shape (texts, channels)."""


@dataclass(frozen=True)
class NetworkEncoder:
    """CLIP or SigLIP on its device; an :class:`Encoder`.

    Attributes:
        model_type: ``clip`` or ``siglip``.
        network: the transformers model.
        tokenizer: the transformers tokenizer.
        preprocessing: image preprocessing.
        max_tokens: maximum number of tokens in a text.
        compute: device and precision.
    """

    model_type: str
    network: Any
    tokenizer: Any
    preprocessing: ImagePreprocessing
    max_tokens: int
    compute: Compute

    @property
    def scale(self) -> float:
        """Factor of cosine similarities before the softmax."""
        return float(self.network.logit_scale.exp())

    def embed_images(self, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Return unit vectors, shape (images, channels), of images (height, width, 3)."""

        def embed(part: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
            prepared = torch.stack([self.preprocessing.preprocess(each) for each in part])
            pixels = prepared.to(self.compute.device)
            return _pooled(self.network.get_image_features(pixel_values=pixels))

        return self._in_batches(embed, pictures, IMAGE_BATCH)

    def embed_texts(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return unit vectors, shape (texts, channels)."""
        # SigLIP was trained on texts padded to a fixed length, without an attention mask.
        is_clip = self.model_type == "clip"

        def embed(part: Sequence[str]) -> torch.Tensor:
            tokens = self.tokenizer(
                list(part),
                padding=True if is_clip else "max_length",
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            )
            wanted = ("input_ids", "attention_mask") if is_clip else ("input_ids",)
            given = {name: tokens[name].to(self.compute.device) for name in wanted}
            return _pooled(self.network.get_text_features(**given))

        return self._in_batches(embed, sentences, TEXT_BATCH)

    def _in_batches(
        self, embed: Callable[[Any], torch.Tensor], items: Sequence[Any], size: int
    ) -> torch.Tensor:
        with torch.inference_mode(), self.compute.autocast():
            parts = [embed(items[i : i + size]).float().cpu() for i in range(0, len(items), size)]
        return F.normalize(torch.cat(parts), dim=1)


def load_encoder(model: str = DEFAULT_MODEL, *, compute: Compute | None = None) -> NetworkEncoder:
    """Load CLIP or SigLIP from the Hugging Face hub or from a local folder.

    Args:
        model: a hub id, or a folder in the hub's layout.
        compute: device and precision; by default the fastest device, in float32.

    Raises:
        UserError: the model cannot be loaded, or is not supported.
    """
    check_model_name(model)
    files = NETWORKS.find(model)
    preprocessing = read_preprocessing(files)
    tokenizer = _load_tokenizer(files)
    network: Any = files.load()
    compute = compute or choose_compute(precision="32-true")
    return NetworkEncoder(
        model_type=files.model_type,
        network=network.eval().requires_grad_(requires_grad=False).to(compute.device),
        tokenizer=tokenizer,
        preprocessing=preprocessing,
        max_tokens=int(network.config.text_config.max_position_embeddings),
        compute=compute,
    )


def check_model_name(model: str) -> None:
    """Check that a model name is a hub id or a folder, before anything is loaded.

    Raises:
        UserError: the name is neither.

    Example:
        >>> check_model_name("clip")
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: --model clip: not a local folder or a hub id such as \
openai/clip-vit-base-patch32
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return
    if path.is_file():
        raise UserError(
            f"--model {model}: is a file; pass the folder with config.json and model.safetensors"
        )
    if model.startswith((".", "/", "~")):
        raise UserError(f"--model {model}: no such folder")
    if model.count("/") != 1:
        raise UserError(f"--model {model}: not a local folder or a hub id such as {DEFAULT_MODEL}")


def _load_tokenizer(files: NetworkFiles) -> Any:
    import transformers  # noqa: PLC0415 - takes seconds

    library: Any = transformers
    try:
        with quiet_transformers():
            return library.AutoTokenizer.from_pretrained(str(files.folder), trust_remote_code=False)
    except Exception as error:
        # The error types depend on the installed versions.
        raise UserError(
            f"--model {files.source}: the tokenizer cannot be read: {first_line(error)}; it needs"
            " tokenizer.json, or vocab.json and merges.txt"
        ) from error


def _pooled(answer: Any) -> torch.Tensor:
    # Some versions of transformers return the embedding itself.
    pooled: torch.Tensor = answer if isinstance(answer, torch.Tensor) else answer.pooler_output
    return pooled
