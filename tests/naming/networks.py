"""Tiny random CLIP and SigLIP networks with their tokenizers, in the hub's layout."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import nn

LETTERS = "abcdefghijklmnopqrstuvwxyz-"
SIDE = 32
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}
STATED = {
    "clip": {
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_center_crop": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": {"shortest_edge": SIDE},
    },
    "siglip": {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
        "size": {"height": SIDE, "width": SIDE},
    },
}


def write_network(folder: Path, model_type: str) -> Path:
    """Write a network as the hub would hold it."""
    library: Any = transformers
    is_clip = model_type == "clip"
    folder.mkdir(parents=True, exist_ok=True)
    words = _write_clip_tokenizer(folder) if is_clip else _write_siglip_tokenizer(folder)
    text = TOWER | {
        "vocab_size": words,
        "max_position_embeddings": 40,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
    }
    vision = TOWER | {"image_size": SIDE, "patch_size": 16}
    if is_clip:
        config = library.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
        network = library.CLIPModel(config)
    else:
        network = library.SiglipModel(library.SiglipConfig(text_config=text, vision_config=vision))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if name not in {"logit_scale", "logit_bias"}:
            nn.init.normal_(parameter, std=0.3, generator=generator)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(STATED[model_type]))
    return folder


def _write_clip_tokenizer(folder: Path) -> int:
    """Write a byte-pair tokenizer that knows letters alone, as the first CLIP's two files."""
    tokens = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    stated = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "model_max_length": 40,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    return len(tokens)


def _write_siglip_tokenizer(folder: Path) -> int:
    library: Any = transformers
    tokens = [*LETTERS, "<unk>", "<pad>", "</s>"]
    tokenizer = Tokenizer(
        models.WordLevel({token: number for number, token in enumerate(tokens)}, "<unk>")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "</s>"}
    wrapped = library.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    wrapped.save_pretrained(folder)
    return len(tokens)
