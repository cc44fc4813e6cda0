"""A small residual network for images: a stem, blocks, the mean over pixels and a linear head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError


class ResNet(nn.Module):
    """``stem`` (convolution, BatchNorm, ReLU), residual ``blocks``, the mean over pixels (``pool``) and ``head``.

    Parameters
    ----------
    channels : int
        Of the image, (n, channels, height, width).
    widths : sequence of int
        Channels of each stage. Every stage after the first starts with a block of stride 2.
    depth : int
        Blocks a stage; what an audit taps is the output of each.
    separable : bool
        Depthwise convolutions, each followed by a 1 x 1 convolution, in place of full ones: about an eighth of the
        multiplications at the same widths.
    stem_stride : int
        Of the stem. 2 quarters the cost of everything behind it; for photographs, not for images of a dozen pixels.
    outputs : int
        Width of the head; ``forward`` returns (n, outputs) logits.
    seed : int
        Seed of the initial weights. The global random state is left as it was.

    Raises
    ------
    ConfigError
        On no stage, or a number below 1.

    References
    ----------
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Howard et al., MobileNets, arXiv 1704.04861
    (depthwise separable convolutions).

    Examples
    --------
    >>> import torch
    >>> ResNet(3, widths=(8, 16)).eval()(torch.zeros(2, 3, 12, 12)).shape
    torch.Size([2, 1])
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        widths: Sequence[int] = (16, 32, 64),
        depth: int = 1,
        separable: bool = False,
        stem_stride: int = 1,
        outputs: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not widths or min(channels, depth, stem_stride, outputs, *widths) < 1:
            raise ConfigError(
                f"`channels`, `widths`, `depth`, `stem_stride` and `outputs` must be at least 1, got {channels},"
                f" {tuple(widths)}, {depth}, {stem_stride} and {outputs}."
            )
        self.config: dict[str, Any] = {
            "channels": channels,
            "widths": list(widths),
            "depth": depth,
            "separable": separable,
            "stem_stride": stem_stride,
            "outputs": outputs,
        }
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators as well
            self.stem = nn.Sequential(
                nn.Conv2d(channels, widths[0], 3, stem_stride, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
            )
            blocks: list[nn.Module] = []
            before = widths[0]
            for stage, width in enumerate(widths):
                for place in range(depth):
                    stride = 2 if stage > 0 and place == 0 else 1
                    blocks.append(ResidualBlock(before, width, stride=stride, separable=separable))
                    before = width
            self.blocks = nn.Sequential(*blocks)
            self.pool = MeanOverPixels()
            self.head = nn.Linear(before, outputs)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pool(self.blocks(self.stem(x))))
        return logits


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm, added to the input (a 1 x 1 convolution of it where shapes differ)."""

    def __init__(self, before: int, width: int, *, stride: int = 1, separable: bool = False) -> None:
        super().__init__()
        self.first = nn.Sequential(*_convolution(before, width, stride, separable), nn.BatchNorm2d(width), nn.ReLU())
        self.second = nn.Sequential(*_convolution(width, width, 1, separable), nn.BatchNorm2d(width))
        same = before == width and stride == 1
        self.skip: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )
        self.active = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.active(self.second(self.first(x)) + self.skip(x))
        return out


class MeanOverPixels(nn.Module):
    """Features (n, channels) of maps (n, channels, height, width)."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))


def _convolution(before: int, width: int, stride: int, separable: bool) -> list[nn.Module]:
    if not separable:
        return [nn.Conv2d(before, width, 3, stride, 1, bias=False)]
    depthwise = nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False)
    return [depthwise, nn.Conv2d(before, width, 1, bias=False)]
