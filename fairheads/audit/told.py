"""What a report says of the model, the rows and the versions, beside what was measured."""

from __future__ import annotations

import platform
from importlib.metadata import version

from torch import nn
from torch.export import UnflattenedModule

from fairheads.activations import Network, OnnxNetwork, TorchNetwork
from fairheads.data import Dataset, RowRecord, Stream
from fairheads.models import Bundle, network_digest
from fairheads.results import DataInfo, DisparityReport, GroupShare, ModelInfo, Number

REPEATED = 0.5
"""Share of rows that equal another one above which the report says so. Tables of few columns have many by chance: of
Adult's test rows a tenth."""


def scoring(network: Network, clipped: int, n: int) -> list[str]:
    """How outputs became scores, where they are no logits, as lines of the report."""
    outcome = network.outcome if isinstance(network, TorchNetwork | OnnxNetwork) else None
    said = [] if outcome is None else [f"The score is made of the network's outputs as {str(outcome)!r}."]
    if clipped:
        said.append(f"{clipped:,} of the {n:,} rows have a probability without a logit, and the nearest that has one.")
    return said


def repeated(rows: RowRecord) -> list[str]:
    """That most rows equal another one, as a line of the report: intervals take rows for different people."""
    if rows.expected_share <= REPEATED:
        return []
    return [
        f"{rows.expected_share:.0%} of the rows equal another one in inputs, label and group. Where these are the same"
        " people, keep one row of each: intervals take rows for different people, and are too narrow."
    ]


def model_info(network: Network, bundle: Bundle | None, layers: tuple[str, ...], name: str) -> ModelInfo:
    """What the report says of the model; ``name`` is that of its file, or what the caller calls it."""
    module = network.module if isinstance(network, TorchNetwork) else None
    kind = "ExportedProgram" if isinstance(module, UnflattenedModule) else type(module or network).__name__
    parameters = network.parameters if isinstance(network, OnnxNetwork) else 0
    if module is not None:
        parameters = sum(p.numel() for p in module.parameters())
    return ModelInfo(
        name=(bundle.name if bundle is not None else "") or name or kind,
        digest=network_digest(network),
        architecture=kind + _widths(module),
        parameters=parameters,
        layers=layers,
        training={**bundle.training, **({"merge": bundle.merge} if bundle.merge else {})}
        if bundle is not None
        else None,
    )


def _widths(module: nn.Module | None) -> str:
    config = getattr(module, "config", None)
    if not isinstance(config, dict) or "hidden" not in config:
        return ""
    return (
        f" {'-'.join(map(str, (config['in_features'], *config['hidden'], config['outputs'])))}, {config['activation']}"
    )


def data_info(
    data: Dataset | Stream,
    rows: RowRecord,
    disparity: DisparityReport,
    bundle: Bundle | None,
    sampled: int,
    overlap: Number,
    expected_overlap: Number,
) -> DataInfo:
    """What the report says of the rows, of which the interventions ran on ``sampled``."""
    shares = bundle.training.get("shares", {}) if bundle is not None else {}
    groups = {
        name: GroupShare(
            n=group.n,
            base_rate=disparity.metrics["base_rate"].groups[name],
            training_n=shares.get(name, {}).get("n"),
            training_base_rate=shares.get(name, {}).get("base_rate"),
        )
        for name, group in disparity.groups.items()
    }
    return DataInfo(
        name=data.name or "unnamed",
        n=rows.n,
        sampled=sampled,
        digest=rows.digest,
        groups=groups,
        overlap=overlap,
        expected_overlap=expected_overlap,
        unseen_categories=dict(data.unseen),
    )


def versions(network: Network) -> dict[str, str]:
    """The versions of everything that a number of the report depends on."""
    packages = ("fairheads", "torch", "numpy", "scipy")
    found = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    if isinstance(network, OnnxNetwork):
        import onnxruntime

        found["onnxruntime"] = onnxruntime.__version__
    return found
