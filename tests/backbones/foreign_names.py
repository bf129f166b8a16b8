"""Weights of networks on the hub, under the names and in the layout of Meta's files and of timm.

Written block by block from the published code of those networks, and the other way round than the
library's own conversion.
"""

import torch

State = dict[str, torch.Tensor]


def meta_vit(hub: State) -> State:
    """Return hub weights of DINO, DINOv2 or DINOv3 as Meta's files hold them."""
    dinov3 = "embeddings.patch_embeddings.weight" in hub
    patches = "embeddings.patch_embeddings" + ("" if dinov3 else ".projection")
    norm = "norm" if dinov3 else "layernorm"
    meta = {
        "cls_token": hub["embeddings.cls_token"],
        "patch_embed.proj.weight": hub[f"{patches}.weight"],
        "patch_embed.proj.bias": hub[f"{patches}.bias"],
        "norm.weight": hub[f"{norm}.weight"],
        "norm.bias": hub[f"{norm}.bias"],
    }
    if "embeddings.position_embeddings" in hub:
        meta["pos_embed"] = hub["embeddings.position_embeddings"]
    if "embeddings.register_tokens" in hub:
        name = "storage_tokens" if dinov3 else "register_tokens"
        meta[name] = hub["embeddings.register_tokens"]
    if "embeddings.mask_token" in hub:
        meta["mask_token"] = hub["embeddings.mask_token"].reshape(1, -1)
    layers = "layer" if dinov3 else "encoder.layer"
    index = 0
    while any(name.startswith(f"{layers}.{index}.") for name in hub):
        meta |= _block(_below(hub, f"{layers}.{index}."), f"blocks.{index}.")
        index += 1
    return meta


def _below(state: State, prefix: str) -> State:
    return {
        name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)
    }


def _block(layer: State, block: str) -> State:
    if "attention.q_proj.weight" in layer:
        projections, output = ("attention.q_proj", "attention.k_proj", "attention.v_proj"), "o_proj"
    else:
        stem = "attention.attention"
        projections = (f"{stem}.query", f"{stem}.key", f"{stem}.value")
        output = "output.dense"
    query, key, value = projections
    meta = {}
    for kind in ("weight", "bias"):
        query_part = layer[f"{query}.{kind}"]
        # Meta's DINOv3 has a bias of keys, which a mask switches off.
        noise = torch.full_like(query_part, 7.0)
        parts = (query_part, layer.get(f"{key}.{kind}", noise), layer[f"{value}.{kind}"])
        meta[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
        meta[f"{block}attn.proj.{kind}"] = layer[f"attention.{output}.{kind}"]
        for number, old in ((1, "layernorm_before"), (2, "layernorm_after")):
            norm = f"norm{number}.{kind}"
            meta[f"{block}{norm}"] = layer.get(norm, layer.get(f"{old}.{kind}", torch.empty(0)))
    if f"{key}.bias" not in layer:
        mask = torch.ones(len(meta[f"{block}attn.qkv.bias"]))
        third = len(mask) // 3
        mask[third : 2 * third] = 0
        meta[f"{block}attn.qkv.bias_mask"] = mask
    return meta | _scales_and_mlp(layer, block)


def _scales_and_mlp(layer: State, block: str) -> State:
    meta = {}
    for number in (1, 2):
        scale = layer.get(f"layer_scale{number}.lambda1")
        if scale is not None:
            meta[f"{block}ls{number}.gamma"] = scale
    names = {
        "intermediate.dense": "mlp.fc1",  # DINO
        "output.dense": "mlp.fc2",
        "mlp.fc1": "mlp.fc1",  # DINOv2
        "mlp.fc2": "mlp.fc2",
        "mlp.weights_in": "mlp.w12",
        "mlp.weights_out": "mlp.w3",
    }
    if "mlp.gate_proj.weight" in layer:  # DINOv3
        names |= {"mlp.gate_proj": "mlp.w1", "mlp.up_proj": "mlp.w2", "mlp.down_proj": "mlp.w3"}
    else:
        names |= {"mlp.up_proj": "mlp.fc1", "mlp.down_proj": "mlp.fc2"}
    for hub_name, meta_name in names.items():
        for kind in ("weight", "bias"):
            if f"{hub_name}.{kind}" in layer:
                meta[f"{block}{meta_name}.{kind}"] = layer[f"{hub_name}.{kind}"]
    return meta


def rotary_periods(head_size: int, base: float = 100.0) -> torch.Tensor:
    """Return the buffer of periods that Meta's DINOv3 stores."""
    return base ** (2 * torch.arange(head_size // 4) / (head_size // 2))


def timm_dinov2(meta: State) -> State:
    """Return Meta's DINOv2 as timm stores it: without position embeddings for other tokens."""
    timm = {}
    for name, tensor in meta.items():
        timm[name.replace("mlp.w12", "mlp.fc1").replace("mlp.w3", "mlp.fc2")] = tensor
    timm.pop("mask_token", None)
    if "register_tokens" in timm:
        positions = timm.pop("pos_embed")
        timm["reg_token"] = timm.pop("register_tokens")
        timm["cls_token"] = timm["cls_token"] + positions[:, :1]
        timm["pos_embed"] = positions[:, 1:]
    return timm


def timm_dinov3(meta: State) -> State:
    """Return Meta's DINOv3 as timm's EVA stores it, with biases of queries and values."""
    timm: State = {}
    for name, tensor in meta.items():
        if name.endswith(("bias_mask", "mask_token", "periods")):
            continue
        if name.endswith("attn.qkv.bias"):
            query, _, value = tensor.chunk(3)
            stem = name.removesuffix("qkv.bias")
            timm |= {f"{stem}q_bias": query, f"{stem}v_bias": value}
            continue
        renamed = name.replace("storage_tokens", "reg_token")
        renamed = renamed.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2")
        renamed = renamed.replace("mlp.w1.", "mlp.fc1_g.").replace("mlp.w2.", "mlp.fc1_x.")
        timm[renamed.replace("mlp.w3.", "mlp.fc2.")] = tensor
    return timm


def meta_convnext(hub: State) -> State:
    """Return hub weights of DINOv3's ConvNeXt as Meta's files hold them."""
    meta = {}
    for name, tensor in hub.items():
        parts = name.split(".")
        if parts[0] == "layer_norm":
            meta[f"norm.{parts[1]}"] = tensor
            meta[f"norms.3.{parts[1]}"] = tensor
        elif parts[2] == "downsample_layers":
            meta[f"downsample_layers.{parts[1]}.{parts[3]}.{parts[4]}"] = tensor
        else:
            layers = {
                "depthwise_conv": "dwconv",
                "layer_norm": "norm",
                "pointwise_conv1": "pwconv1",
                "pointwise_conv2": "pwconv2",
            }
            rest = ".".join([layers.get(parts[4], parts[4]), *parts[5:]])
            meta[f"stages.{parts[1]}.{parts[3]}.{rest}"] = tensor
    return meta
