"""The networks of a study: built from a seed, kept on disk, read again."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from fairheads.data import Batch, RowRecord
from fairheads.errors import InputError, first_line
from fairheads.models import Bundle, load_bundle, save_bundle
from fairheads.nets import MLP, ResNet, TwoHeadNet
from fairheads.results._saving import save_texts
from fairheads.study.rows import Parts
from fairheads.study.setting import PaperSetting, Task
from fairheads.training import History

OURS = ("mlp", "resnet")


def fresh(setting: PaperSetting, first: Batch, task: Task, groups: int) -> nn.Module:
    """The network of a task before it is trained; ``first`` are some rows, for the width of what it is fed.

    Raises
    ------
    InputError
        If the network is torchvision's and torchvision cannot be imported.
    """
    shape = next(iter(first.inputs.values())).shape
    net: nn.Module
    if setting.network == "mlp":
        net = MLP(shape[1], hidden=setting.widths, seed=task.seed)
    elif setting.network == "resnet":
        net = ResNet(shape[1], widths=setting.widths, stem_stride=setting.stem_stride, seed=task.seed)
    else:
        net = _torchvision(setting.network, task.seed)
    return TwoHeadNet(net, groups, seed=task.seed) if task.kind == "two-headed" else net


def _torchvision(name: str, seed: int) -> nn.Module:
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # RuntimeError: of another build than torch
        raise InputError(
            f"{name} is torchvision's, which cannot be imported ({first_line(error)}); install the build that goes with"
            f" your torch {torch.__version__}."
        ) from error
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        made: nn.Module = getattr(models, name)(num_classes=1)
    return made


def keep(net: nn.Module, folder: Path, *, setting: PaperSetting, parts: Parts, history: History) -> None:
    """Write the network into ``folder``: as a model that every command takes, where its architecture can be written."""
    if setting.network in OURS:
        rows = history.rows if isinstance(history.rows, RowRecord) else None
        record = {**history.record(), **parts.record}
        save_bundle(
            Bundle(net=net, preprocess=parts.preprocess, training=record, rows=rows), folder, overwrite=folder.exists()
        )
        return
    weights = {key: value.cpu().contiguous() for key, value in net.state_dict().items()}
    save_texts(folder, {"model.safetensors": save_tensors(weights)})


def kept(folder: Path, *, setting: PaperSetting, parts: Parts, task: Task) -> nn.Module | None:
    """The network that `keep` wrote, in eval mode; None where there is none."""
    file = folder / "model.safetensors"
    if not file.is_file():
        return None
    if setting.network in OURS:
        return load_bundle(folder).net
    net = fresh(setting, next(iter(parts.validation)), task, len(parts.validation.group_names))
    net.load_state_dict(load_tensors(file.read_bytes()))
    return net.eval()
