"""Self-attention between the patches of a vision transformer.

Dosovitskiy et al., An Image is Worth 16x16 Words (ICLR 2021), appendix A; Su et al., RoFormer
(2021), for rotary position embeddings.
"""

from typing import NamedTuple

import torch


class RotaryEmbedding(NamedTuple):
    """Where patches are, as angles by which their queries and keys are turned.

    Attributes:
        cosines: of the angles, shape (patches, head size); channel c and channel
            c + head size / 2 share an angle.
        sines: likewise.
    """

    cosines: torch.Tensor
    sines: torch.Tensor


def patch_attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    *,
    heads: int,
    patches: int,
    rotary: RotaryEmbedding | None = None,
) -> torch.Tensor:
    """Return how much each patch attends to each other one: softmax(q k^T / sqrt(head size)).

    All tokens share in the softmax. The rows and columns of those that are no patches are dropped
    after it, as code of STEGO's family does: a row sums to less than 1, the rest being the patch's
    attention to the class and register tokens.

    The result holds batch * heads * patches^2 values. Images are worked on one by one, so that
    intermediate results take no more than about twice one image's share.

    Args:
        queries: heads side by side, shape (batch, tokens, heads * head size).
        keys: likewise.
        heads: number of attention heads.
        patches: how many of the tokens, at the end, are patches.
        rotary: position embedding of the patches; other tokens are not turned.

    Returns:
        Tensor of shape (batch, heads, patches, patches): from the patch of the row to the patch
        of the column, in 0..1.

    Example:
        A class token and two patches: a third of the attention goes to each.

        >>> even = torch.zeros(1, 3, 8)
        >>> patch_attention(even, even, heads=1, patches=2)[0, 0]
        tensor([[0.3333, 0.3333],
                [0.3333, 0.3333]])
    """
    first = queries.shape[1] - patches
    # Class and registers come first. No rows but the patches' are asked for.
    queries = split_heads(queries[:, first:], heads)
    keys = split_heads(keys, heads)
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


def split_heads(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """Return heads that lie side by side as an axis of their own.

    Args:
        tokens: shape (batch, tokens, heads * head size).
        heads: number of attention heads.

    Returns:
        Tensor of shape (batch, heads, tokens, head size).

    Example:
        >>> split_heads(torch.zeros(2, 17, 48), 6).shape
        torch.Size([2, 6, 17, 8])
    """
    return tokens.reshape(*tokens.shape[:2], heads, -1).transpose(1, 2)


def rotate(vectors: torch.Tensor, rotary: RotaryEmbedding) -> torch.Tensor:
    """Turn each pair of channels (c, c + head size / 2) by its patch's angle.

    Args:
        vectors: queries or keys, shape (batch, heads, patches, head size).
        rotary: the angles.

    Returns:
        Tensor of the shape of ``vectors``, each vector as long as before.

    Example:
        >>> quarter = RotaryEmbedding(cosines=torch.zeros(1, 2), sines=torch.ones(1, 2))
        >>> rotate(torch.tensor([[[[3.0, 4.0]]]]), quarter).flatten().tolist()
        [-4.0, 3.0]
    """
    early, late = vectors.chunk(2, dim=3)
    return vectors * rotary.cosines + torch.cat((-late, early), dim=3) * rotary.sines
