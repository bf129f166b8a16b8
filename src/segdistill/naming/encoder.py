"""A network that embeds pictures and words alike: CLIP or SigLIP, from the hub or a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.backbones.huggingface import (
    HUB_FILES,
    first_line,
    has_weights,
    hub_reason,
    quiet_transformers,
    read_json,
)
from segdistill.devices import Compute, choose_compute
from segdistill.errors import UserError
from segdistill.naming.preparation import PicturePreparation, read_preparation

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_MODEL = "openai/clip-vit-base-patch32"
MODEL_CLASSES = {"clip": "CLIPModel", "siglip": "SiglipModel"}
"""transformers' class for each model_type of config.json."""

TOKENIZER_FILES = (
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)
PICTURES_AT_ONCE = 16
SENTENCES_AT_ONCE = 256

# The places of tokens are counted, not learned, and old copies hold or lack them.
UNUSED_WEIGHTS = ("position_ids",)


class Encoder(Protocol):
    """What embeds pictures and sentences in one space.

    Attributes:
        scale: by which cosines are multiplied before a softmax.
    """

    @property
    def scale(self) -> float:
        """See the class."""

    def embed_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Return unit vectors, shape (pictures, channels), of pictures (height, width, 3)."""

    def embed_sentences(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return unit vectors, shape (sentences, channels)."""


@dataclass(frozen=True)
class NetworkEncoder:
    """CLIP or SigLIP on its device; an :class:`Encoder`.

    Attributes:
        source: hub id or full path of the folder it was loaded from.
        model_type: ``clip`` or ``siglip``.
        network: of transformers.
        tokenizer: of transformers.
        preparation: how the network wants its pictures.
        longest: tokens of a sentence, at most.
        compute: device and precision.
    """

    source: str
    model_type: str
    network: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    preparation: PicturePreparation
    longest: int
    compute: Compute

    @property
    def scale(self) -> float:
        """By which cosines are multiplied before a softmax."""
        network: Any = self.network
        return float(network.logit_scale.exp())

    def embed_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Return unit vectors, shape (pictures, channels), of pictures (height, width, 3)."""
        network: Any = self.network

        def embed(part: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
            prepared = torch.stack([self.preparation.prepare(each) for each in part])
            return _pooled(network.get_image_features(pixel_values=prepared.to(self._device)))

        return self._in_parts(embed, pictures, PICTURES_AT_ONCE)

    def embed_sentences(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return unit vectors, shape (sentences, channels)."""
        network: Any = self.network
        tokenizer: Any = self.tokenizer
        # SigLIP was trained on sentences filled up to one length, without a mask.
        is_clip = self.model_type == "clip"

        def embed(part: Sequence[str]) -> torch.Tensor:
            tokens = tokenizer(
                list(part),
                padding=True if is_clip else "max_length",
                truncation=True,
                max_length=self.longest,
                return_tensors="pt",
            )
            wanted = ("input_ids", "attention_mask") if is_clip else ("input_ids",)
            given = {name: tokens[name].to(self._device) for name in wanted}
            return _pooled(network.get_text_features(**given))

        return self._in_parts(embed, sentences, SENTENCES_AT_ONCE)

    @property
    def _device(self) -> torch.device:
        return self.compute.device

    def _in_parts(
        self, embed: Callable[[Any], torch.Tensor], items: Sequence[Any], size: int
    ) -> torch.Tensor:
        with torch.inference_mode(), self.compute.autocast():
            parts = [embed(items[i : i + size]).float().cpu() for i in range(0, len(items), size)]
        return F.normalize(torch.cat(parts), dim=1)


def load_encoder(model: str = DEFAULT_MODEL, *, compute: Compute | None = None) -> NetworkEncoder:
    """Load a CLIP-type network from the Hugging Face hub or from a local folder.

    Only safetensors are read: nothing is unpickled, and no code of others is run.

    Args:
        model: a hub id, or a folder in the hub's layout.
        compute: where; by default the fastest device, in float32.

    Raises:
        UserError: the network cannot be had, or is none that is supported.
    """
    source = _source(model)
    folder = Path(source) if Path(source).is_dir() else _download(source)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"--model {model}: no config.json; the hub's layout has config.json,"
            " model.safetensors and the tokenizer's files"
        )
    config = read_json(folder / "config.json")
    model_type = str(config.get("model_type"))
    if model_type not in MODEL_CLASSES:
        raise UserError(
            f"--model {model}: config.json states model_type {model_type!r};"
            f" supported are {', '.join(MODEL_CLASSES)}"
        )
    preparation = read_preparation(folder, config)
    tokenizer = _load_tokenizer(folder, source)
    network: Any = _load_network(folder, source, MODEL_CLASSES[model_type])
    compute = compute or choose_compute(precision="32-true")
    return NetworkEncoder(
        source=source,
        model_type=model_type,
        network=network.eval().requires_grad_(requires_grad=False).to(compute.device),
        tokenizer=tokenizer,
        preparation=preparation,
        longest=int(network.config.text_config.max_position_embeddings),
        compute=compute,
    )


def check_model_name(model: str) -> None:
    """Check that a name may be a hub id or is a folder, before anything is loaded.

    Raises:
        UserError: it is neither.

    Example:
        >>> check_model_name("clip")
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: --model clip: neither a hub id, such as \
openai/clip-vit-base-patch32, nor a local folder
    """
    _source(model)


def _source(model: str) -> str:
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if path.is_file():
        raise UserError(
            f"--model {model}: a file; give the folder in which config.json and model.safetensors"
            " lie"
        )
    if model.startswith((".", "/", "~")):
        raise UserError(f"--model {model}: no such folder")
    if model.count("/") != 1:
        raise UserError(
            f"--model {model}: neither a hub id, such as {DEFAULT_MODEL}, nor a local folder"
        )
    return model


def _download(hub_id: str) -> Path:
    """Return a folder with the hub's files, from the cache where the hub cannot be reached."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only hub ids need it

    try:
        return Path(snapshot_download(hub_id, allow_patterns=[*HUB_FILES, *TOKENIZER_FILES]))
    except Exception as error:
        # The hub's errors are those of its HTTP library, which has changed twice.
        raise UserError(_hub_message(hub_id, error)) from error


def _hub_message(hub_id: str, error: Exception) -> str:
    return (
        f"--model {hub_id}: no network from the Hugging Face hub: {hub_reason(hub_id, error)}.\n"
        f"Ways on: where there is a connection, `hf download {hub_id} --local-dir FOLDER`, then"
        " --model FOLDER here; or names by hand, `segdistill name RUN 3=road`."
    )


def _load_tokenizer(folder: Path, source: str) -> "PreTrainedTokenizerBase":
    import transformers  # noqa: PLC0415 - takes seconds

    library: Any = transformers
    try:
        with quiet_transformers():
            return library.AutoTokenizer.from_pretrained(  # type: ignore[no-any-return]
                str(folder), trust_remote_code=False
            )
    except Exception as error:
        # Errors here are of many classes, and which ones depends on the versions installed.
        raise UserError(
            f"--model {source}: the tokenizer cannot be read: {first_line(error)}; the hub's"
            " layout has tokenizer.json, or vocab.json and merges.txt"
        ) from error


def _load_network(folder: Path, source: str, class_name: str) -> "PreTrainedModel":
    import transformers  # noqa: PLC0415 - takes seconds

    if str(folder) == source and not has_weights(folder):
        raise UserError(_no_weights(folder, class_name))
    # Without a copy of the weights, transformers finds the hub's own conversion to safetensors.
    weights = str(folder) if has_weights(folder) else source
    try:
        with quiet_transformers():
            network, account = getattr(transformers, class_name).from_pretrained(
                weights, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:
        # As for the tokenizer.
        if weights == str(folder):
            raise UserError(
                f"--model {source}: the weights cannot be read: {first_line(error)}"
            ) from error
        raise UserError(_hub_message(source, error)) from error
    missing = sorted(
        key for key in account["missing_keys"] if not any(each in key for each in UNUSED_WEIGHTS)
    )
    if missing:
        raise UserError(
            f"--model {source}: {len(missing)} weights are missing, {missing[0]} first;"
            f" {class_name} needs them all"
        )
    return network  # type: ignore[no-any-return]


def _no_weights(folder: Path, class_name: str) -> str:
    if not (folder / "pytorch_model.bin").is_file():
        return f"--model {folder}: no weights; model.safetensors is missing"
    return (
        f"--model {folder}: holds pytorch_model.bin, but only model.safetensors is read, because a"
        " .bin file can run code. Convert it once, if you trust it:\n"
        f'python -c "from transformers import {class_name} as M;'
        f" M.from_pretrained(r'{folder}').save_pretrained(r'{folder}')\""
    )


def _pooled(answer: Any) -> torch.Tensor:
    # Versions of transformers differ in whether the embedding comes alone.
    pooled: torch.Tensor = answer if isinstance(answer, torch.Tensor) else answer.pooler_output
    return pooled
