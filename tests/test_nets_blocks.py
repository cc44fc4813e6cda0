"""The residual network and the transformer: seeds, masks, layers, and an independent attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fairheads.activations import TorchNetwork
from fairheads.errors import ConfigError
from fairheads.nets import ResNet, Transformer
from fairheads.nets.transformer import EncoderBlock

IMAGES = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(0, 9, (5, 7), generator=torch.Generator().manual_seed(0))
MASK = (torch.arange(7) < torch.tensor([7, 4, 1, 6, 2])[:, None]).long()


def resnet(**settings: object) -> ResNet:
    return ResNet(3, **{"widths": (4, 8), **settings}).eval()  # type: ignore[arg-type]


def transformer(**settings: object) -> Transformer:
    return Transformer(9, **{"width": 8, "length": 7, **settings}).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [resnet, transformer])
def test_weights_follow_the_seed_and_leave_the_global_state(make: object, random_state_is_left_alone: None) -> None:
    one, same, other = (make(seed=seed).state_dict() for seed in (1, 1, 2))  # type: ignore[operator]
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_configuration_makes_the_network_again() -> None:
    for net in (resnet(separable=True, depth=2, stem_stride=2), transformer(depth=3, heads=4)):
        config = dict(net.config)
        again = type(net)(config.pop("channels" if isinstance(net, ResNet) else "vocabulary"), **config)
        again.load_state_dict(net.state_dict())
        inputs = (IMAGES,) if isinstance(net, ResNet) else (TOKENS, MASK)
        assert torch.equal(again.eval()(*inputs), net(*inputs))


def test_an_audit_looks_at_the_blocks() -> None:
    images = TorchNetwork(resnet(depth=2)).survey({"x": IMAGES.numpy()})
    assert [(layer.name, layer.units) for layer in images] == [(f"blocks.{i}", w) for i, w in enumerate((4, 4, 8, 8))]
    tokens = TorchNetwork(transformer(depth=3)).survey({"tokens": TOKENS.numpy(), "attention_mask": MASK.numpy()})
    assert [(layer.name, layer.units, layer.positions) for layer in tokens] == [(f"blocks.{i}", 8, 7) for i in range(3)]


def test_strides_halve_the_maps_and_separable_blocks_are_smaller() -> None:
    layers = TorchNetwork(resnet(stem_stride=2)).survey({"x": IMAGES.numpy()})
    assert [layer.shape for layer in layers] == [(4, 6, 6), (8, 3, 3)]
    sizes = [sum(p.numel() for p in resnet(widths=(16, 32), separable=way).parameters()) for way in (False, True)]
    assert sizes[1] < sizes[0] / 2


def test_logits_of_a_row_do_not_depend_on_the_others() -> None:
    net = resnet()
    assert torch.allclose(net(IMAGES)[2:3], net(IMAGES[2:3]), atol=1e-6)
    words = transformer()
    assert torch.allclose(words(TOKENS, MASK)[2:3], words(TOKENS[2:3], MASK[2:3]), atol=1e-6)


def test_tokens_that_do_not_count_change_nothing_and_others_do() -> None:
    net = transformer()
    before = net(TOKENS, MASK)
    assert torch.allclose(net(torch.where(MASK > 0, TOKENS, 0), MASK), before, atol=1e-6)
    assert not torch.allclose(net(torch.where(MASK > 0, 0, TOKENS), MASK), before, atol=1e-3)
    assert torch.allclose(net(TOKENS[1:2, :4]), before[1:2], atol=1e-5)  # padding is as good as no padding


def test_without_a_mask_all_tokens_count_and_an_empty_row_is_a_number() -> None:
    net = transformer()
    assert torch.allclose(net(TOKENS), net(TOKENS, torch.ones_like(TOKENS)), atol=1e-6)
    assert torch.isfinite(net(TOKENS, torch.zeros_like(TOKENS))).all()


def test_the_order_of_tokens_matters() -> None:
    net = transformer()
    assert not torch.allclose(net(TOKENS), net(TOKENS.flip(1)), atol=1e-4)


def test_attention_is_that_of_torch() -> None:
    block = EncoderBlock(8, 2)
    peer = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        peer.in_proj_weight.copy_(block.query_key_value.weight)
        peer.in_proj_bias.copy_(block.query_key_value.bias)
        peer.out_proj.load_state_dict(block.mix.state_dict())
    stream: Tensor = torch.randn(5, 7, 8)
    expected, _ = peer(stream, stream, stream, key_padding_mask=MASK == 0)
    counted = MASK > 0
    assert torch.allclose(block.attention(stream, MASK)[counted], expected[counted], atol=1e-5)


def test_an_edit_moves_every_position_alike() -> None:
    """What an audit may do to a block; the last block of the residual network is pooled and read linearly."""
    net = resnet()
    run = TorchNetwork(net)
    inputs = {"x": IMAGES.numpy()}
    with run.edit("blocks.1", lambda h: h + np.float32(1.0)):
        moved = run.forward(inputs)
    assert np.allclose(moved - run.forward(inputs), float(net.head.weight.detach().sum()), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (ResNet, {"channels": 0}),
        (ResNet, {"widths": ()}),
        (ResNet, {"depth": 0}),
        (Transformer, {"vocabulary": 4, "width": 9, "heads": 2}),
        (Transformer, {"vocabulary": 0}),
    ],
)
def test_impossible_sizes_are_refused(make: type[nn.Module], wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        make(**wrong)
