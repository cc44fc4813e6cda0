"""Two heads on Hugging Face models: found by themselves, trained, attached, merged, saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fairheads.data import Dataset
from fairheads.nets import TwoHeadNet
from fairheads.training import TwoHeaded, cross_entropy, train
from fairheads.twoheads import (
    Coefficients,
    attach_group_head,
    heads_of,
    merge_net,
    two_head_scores,
    verify_merge,
)

# `make test` has no extras; `make test-all` has them and runs what is slow.
pytestmark = pytest.mark.slow
transformers = pytest.importorskip("transformers", reason="needs the extra `integrations`")

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 40,
    "max_position_embeddings": 20,
}
IMAGES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 8,
    "patch_size": 4,
}
MADE = {
    "Bert": ("classifier", lambda labels: transformers.BertConfig(**SMALL, num_labels=labels)),
    "Roberta": ("classifier.out_proj", lambda labels: transformers.RobertaConfig(**SMALL, num_labels=labels)),
    "Electra": ("classifier.out_proj", lambda labels: transformers.ElectraConfig(**SMALL, num_labels=labels)),
    "DistilBert": (
        "classifier",
        lambda labels: transformers.DistilBertConfig(
            dim=16, n_layers=1, n_heads=2, hidden_dim=24, vocab_size=40, max_position_embeddings=20, num_labels=labels
        ),
    ),
    "ViT": ("classifier", lambda labels: transformers.ViTConfig(**IMAGES, num_labels=labels)),
    "Swin": (
        "classifier",
        lambda labels: transformers.SwinConfig(
            image_size=16, patch_size=2, embed_dim=8, depths=[1], num_heads=[2], window_size=4, num_labels=labels
        ),
    ),
    "ResNet": (
        "classifier.1",
        lambda labels: transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=labels
        ),
    ),
}


def model_of(name: str, labels: int) -> Any:
    kind = "Image" if name in ("ViT", "Swin", "ResNet") else "Sequence"
    made = getattr(transformers, f"{name}For{kind}Classification")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return made(MADE[name][1](labels)).eval()


def rows(name: str, groups: int, n: int = 70) -> Dataset:
    rng = np.random.default_rng(0)
    group, y = np.arange(n) % groups, rng.integers(0, 2, n)
    if name in ("ViT", "Swin", "ResNet"):
        side = {"ViT": 8, "Swin": 16, "ResNet": 32}[name]
        inputs: dict[str, Any] = {
            "pixel_values": rng.normal(size=(n, 3, side, side)) + 0.3 * group[:, None, None, None]
        }
    else:
        ids = rng.integers(3, 40, (n, 9))
        ids[:, 1] = 3 + group
        mask = (np.arange(9) < rng.integers(3, 10, n)[:, None]) * 1
        inputs = {"input_ids": ids, "attention_mask": mask}
    return Dataset(inputs, y, group)


def hooks_of(net: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in net.modules())


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("labels", [1, 2, 4])
@pytest.mark.parametrize("name", MADE)
def test_a_transformer_is_merged_on_every_row(name: str, labels: int, groups: int, tmp_path: Path) -> None:
    model, data = model_of(name, labels), rows(name, groups)
    before = {key: values.clone() for key, values in model.state_dict().items()}
    hooks = hooks_of(model)
    two = attach_group_head(model, data)
    assert two.layer == MADE[name][0] and two.task_outputs == labels
    np.testing.assert_allclose(two_head_scores(two, data)[:, :labels], two_head_scores(model, data), atol=1e-5)
    made = Coefficients(-2.0 if groups == 2 else (-2.0, 1.0, 0.5), 0.7)
    single = merge_net(two, made, data)
    seen = verify_merge(two, single, made, data)
    assert seen.rows == 70 and seen.same_decisions >= 69 and seen.largest < seen.tolerance < 1e-3
    z_y, z_g = heads_of(two, data)
    outputs = two_head_scores(single, data)
    assert type(single) is type(model) and outputs.shape == (70, labels)
    moved = outputs[:, 0] if labels == 1 else outputs[:, 1] - np.delete(outputs, 1, axis=1).max(1)
    np.testing.assert_allclose(moved, made.score(z_y, z_g), atol=1e-4)
    assert np.abs(moved - z_y).max() > 0.1
    single.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    np.testing.assert_allclose(two_head_scores(again, data), outputs, rtol=1e-4, atol=1e-5)
    saved = again.state_dict()
    assert all(torch.equal(saved[key], values) for key, values in single.state_dict().items()), "it is the model it was"
    assert all(torch.equal(before[key], values) for key, values in model.state_dict().items())
    assert hooks_of(model) == hooks_of(two) == hooks_of(single) == hooks


@pytest.mark.parametrize("name", ["DistilBert", "ViT"])
def test_both_heads_of_a_transformer_learn(name: str) -> None:
    data = rows(name, 3, 240)
    two = TwoHeadNet(model_of(name, 2), 3)
    before = ((two_head_scores(two, data)[:, 2:] - np.eye(3)[data.group]) ** 2).mean()
    train(two, data, TwoHeaded(task=cross_entropy), epochs=20, batch_size=24, learning_rate=3e-3)
    after = ((two_head_scores(two, data)[:, 2:] - np.eye(3)[data.group]) ** 2).mean()
    assert after < 0.2 < before
    merge_net(two, Coefficients((1.0, -1.0, 0.5), 0.1), data)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["Bert", "ViT"])
def test_transformers_in_other_types_of_number_are_merged(name: str, dtype: torch.dtype) -> None:
    data = rows(name, 3)
    two = attach_group_head(model_of(name, 2).to(dtype), data)
    made = Coefficients((-2.0, 1.0, 0.5), 0.7)
    single = merge_net(two, made, data)
    seen = verify_merge(two, single, made, data)
    assert seen.share <= 1 and seen.same_decisions >= 65 and {p.dtype for p in single.parameters()} == {dtype}


def test_a_model_that_returns_the_logits_of_the_last_token_is_merged() -> None:
    config = transformers.GPT2Config(
        n_embd=16, n_layer=1, n_head=2, vocab_size=40, n_positions=20, num_labels=2, pad_token_id=0
    )
    torch.manual_seed(0)
    model, data = transformers.GPT2ForSequenceClassification(config).eval(), rows("GPT2", 3)
    data.inputs["input_ids"][data.inputs["attention_mask"] == 0] = 0
    ids = {"input_ids": data.inputs["input_ids"]}
    data = Dataset(ids, data.y, data.group)
    two, made = attach_group_head(model, data), Coefficients((-2.0, 1.0, 0.5), 0.7)
    assert two.layer == "score" and model.score.bias is None
    single = merge_net(two, made, data)
    assert verify_merge(two, single, made, data).same_decisions == 70
    outputs, (z_y, z_g) = two_head_scores(single, data), heads_of(two, data)
    np.testing.assert_allclose(outputs[:, 1] - outputs[:, 0], made.score(z_y, z_g), atol=1e-5)
