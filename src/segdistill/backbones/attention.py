"""Self-attention between the patches of a vision transformer.

Dosovitskiy et al., An Image is Worth 16x16 Words (ICLR 2021), appendix A; Su et al., RoFormer
(2021), for rotary position embeddings.
"""

import torch

RotaryEmbedding = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines of the angles of the patches, each of shape (patches, head size).

Channels c and c + head size / 2 share an angle.
"""


def patch_attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    *,
    heads: int,
    patches: int,
    rotary: RotaryEmbedding | None = None,
) -> torch.Tensor:
    """Return the self-attention between patches: softmax(q k^T / sqrt(head size)).

    The softmax is over all tokens. Rows and columns of other tokens are dropped after it, as in
    STEGO and related code, so rows sum to less than 1; the rest is attention to the class and
    register tokens.

    The result has batch * heads * patches^2 values. Images are processed one by one, so
    intermediate results need about twice the memory of the result for one image.

    Args:
        queries: queries with concatenated heads, shape (batch, tokens, heads * head size).
        keys: keys of the same shape.
        heads: number of attention heads.
        patches: number of patch tokens, which come last.
        rotary: rotary position embedding; other tokens than patches are not rotated.

    Returns:
        Tensor of shape (batch, heads, patches, patches), in 0..1; rows attend to columns.

    Example:
        One class token and two patches, each with a third of the attention.

        >>> even = torch.zeros(1, 3, 8)
        >>> patch_attention(even, even, heads=1, patches=2)[0, 0]
        tensor([[0.3333, 0.3333],
                [0.3333, 0.3333]])
    """
    first = queries.shape[1] - patches
    # Class and register tokens come first; only rows of patches are needed.
    queries = _split_heads(queries[:, first:], heads)
    keys = _split_heads(keys, heads)
    if rotary is not None:
        queries = rotate(queries, rotary)
        keys = torch.cat((keys[:, :, :first], rotate(keys[:, :, first:], rotary)), dim=2)
    queries = queries * queries.shape[3] ** -0.5
    precise = torch.promote_types(queries.dtype, torch.float32)
    attention = queries.new_empty(*queries.shape[:3], patches)
    for image, (image_queries, image_keys) in enumerate(zip(queries, keys, strict=True)):
        # (heads, patches, head size) and (heads, tokens, head size) to (heads, patches, tokens)
        scores = image_queries @ image_keys.transpose(1, 2)
        attention[image] = scores.softmax(dim=2, dtype=precise)[:, :, first:]
    return attention


def _split_heads(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    # (batch, tokens, heads * head size) -> (batch, heads, tokens, head size)
    return tokens.reshape(*tokens.shape[:2], heads, -1).transpose(1, 2)


def rotate(vectors: torch.Tensor, rotary: RotaryEmbedding) -> torch.Tensor:
    """Rotate each pair of channels (c, c + head size / 2) by the angle of its patch.

    Args:
        vectors: queries or keys, shape (batch, heads, patches, head size).
        rotary: rotary position embedding of the patches.

    Example:
        >>> quarter = (torch.zeros(1, 2), torch.ones(1, 2))
        >>> rotate(torch.tensor([[[[3.0, 4.0]]]]), quarter).flatten().tolist()
        [-4.0, 3.0]
    """
    cosines, sines = rotary
    early, late = vectors.chunk(2, dim=3)
    return vectors * cosines + torch.cat((-late, early), dim=3) * sines
