"""A small transformer encoder: tokens and positions, blocks, the mean over tokens and a linear head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairheads.errors import ConfigError

HIDDEN_TOKEN = -1e9
"""Added to the attention logits of tokens that do not count: finite, so that a row without any gives numbers."""


class Transformer(nn.Module):
    """``stem`` (embeddings of tokens and positions), ``blocks``, ``pool`` (LayerNorm, mean over tokens) and ``head``.

    Parameters
    ----------
    vocabulary : int
        Number of token ids.
    width : int
        Features of a token.
    depth : int
        Blocks; what an audit taps is the output of each, the residual stream.
    heads : int
        Of the attention; divides ``width``.
    length : int
        Largest number of tokens a row.
    outputs : int
        Width of the head; ``forward`` returns (n, outputs) logits.
    seed : int
        Seed of the initial weights. The global random state is left as it was.

    Raises
    ------
    ConfigError
        On a number below 1, or a width that the heads do not divide.

    Notes
    -----
    ``forward(tokens, attention_mask)`` takes ids (n, t) and a mask (n, t) that marks with 1 the tokens that count;
    without a mask all do. What stands at the others changes nothing. Norms come before attention and feed-forward
    ("pre-norm"), and no dropout is used.

    References
    ----------
    Vaswani et al., Attention Is All You Need, NeurIPS 2017; Xiong et al., On Layer Normalization in the Transformer
    Architecture, ICML 2020 (pre-norm).

    Examples
    --------
    >>> import torch
    >>> tokens = torch.tensor([[3, 1, 2, 0], [2, 2, 0, 0]])
    >>> Transformer(4, width=8, depth=2, length=6)(tokens, (tokens > 0).long()).shape
    torch.Size([2, 1])
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        width: int = 32,
        depth: int = 2,
        heads: int = 2,
        length: int = 64,
        outputs: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(vocabulary, width, depth, heads, length, outputs) < 1 or width % heads:
            raise ConfigError(
                "`vocabulary`, `width`, `depth`, `heads`, `length` and `outputs` must be at least 1 and `heads` divide"
                f" `width`, got {vocabulary}, {width}, {depth}, {heads}, {length} and {outputs}."
            )
        self.config: dict[str, Any] = {
            "vocabulary": vocabulary,
            "width": width,
            "depth": depth,
            "heads": heads,
            "length": length,
            "outputs": outputs,
        }
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators as well
            self.stem = TokenEmbedding(vocabulary, width, length)
            self.blocks = nn.ModuleList([EncoderBlock(width, heads) for _ in range(depth)])
            self.pool = MeanOverTokens(width)
            self.head = nn.Linear(width, outputs)

    def forward(self, tokens: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        stream = self.stem(tokens, attention_mask)
        for block in self.blocks:
            stream = block(stream, attention_mask)
        logits: Tensor = self.head(self.pool(stream, attention_mask))
        return logits


class TokenEmbedding(nn.Module):
    """A vector for every token plus one for its position, (n, t, width)."""

    def __init__(self, vocabulary: int, width: int, length: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        nn.init.normal_(self.position.weight, std=0.1)

    def forward(self, tokens: Tensor, _mask: Tensor | None = None) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        stream: Tensor = self.token(tokens) + self.position(places)
        return stream


class EncoderBlock(nn.Module):
    """Attention and a feed-forward layer, each on a normed copy and added to the residual stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, stream: Tensor, mask: Tensor | None = None) -> Tensor:
        stream = stream + self.attention(self.norm_attention(stream), mask)
        out: Tensor = stream + self.feed(self.norm_feed(stream))
        return out

    def attention(self, stream: Tensor, mask: Tensor | None = None) -> Tensor:
        """Every token's mean of the others' values, by the fit of its query to their keys."""
        n, t, width = stream.shape
        parts = self.query_key_value(stream).reshape(n, t, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        hidden = None if mask is None else (1 - mask.to(stream.dtype))[:, None, None, :] * HIDDEN_TOKEN
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=hidden)
        out: Tensor = self.mix(found.transpose(1, 2).reshape(n, t, width))
        return out


class MeanOverTokens(nn.Module):
    """Features (n, width): the mean of the normed stream over the tokens that count; 0 where none does."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, stream: Tensor, mask: Tensor | None = None) -> Tensor:
        features: Tensor = mean_over_tokens(self.norm(stream), mask)
        return features


def mean_over_tokens(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean (n, width) of values (n, t, width) over the tokens that count; 0 where none does."""
    if mask is None:
        return values.mean(1)
    weight = mask.to(values.dtype)[:, :, None]
    return (values * weight).sum(1) / weight.sum(1).clamp(min=1)
