"""Multilayer perceptrons of scikit-learn, saved by skops, as torch modules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairheads.activations import TorchNetwork
from fairheads.data import Dataset, Stream
from fairheads.data.columns import shown
from fairheads.errors import ConfigError, InputError, UnsafeModelError, first_line

TRUSTED = tuple(f"sklearn.neural_network._stochastic_optimizers.{name}" for name in ("AdamOptimizer", "SGDOptimizer"))
"""Types that skops may build beside its own: this list, never the one that a file proposes."""

_MLP = "sklearn.neural_network._multilayer_perceptron"
OBJECTS = frozenset(
    {f"{_MLP}.MLPClassifier", f"{_MLP}.MLPRegressor", "sklearn.preprocessing._label.LabelBinarizer"}
    | {"sklearn.pipeline.Pipeline", "sklearn.preprocessing._data.StandardScaler", *TRUSTED}
)
"""Objects that a saved network is made of."""

NODES = {
    "DictNode": re.compile(r"builtins\.dict|collections\.OrderedDict"),
    "ListNode": re.compile(r"builtins\.list"),
    "TupleNode": re.compile(r"builtins\.tuple"),
    "JsonNode": re.compile(r"builtins\.(str|int|float|bool|NoneType)"),
    "TypeNode": re.compile(r"builtins\.(str|int|float|bool)"),
    "NdArrayNode": re.compile(r"numpy\.\w+"),
    "DTypeNode": re.compile(r"numpy\.dtypes?(\.\w+|\[\w+\])?"),
    "RandomStateNode": re.compile(r"numpy\.random\.mtrand\.RandomState"),
    "ObjectNode": re.compile("|".join(re.escape(name) for name in sorted(OBJECTS))),
}
"""Kinds of entries, and what each may hold; skops knows more of them, some of which call functions."""

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid}


class StandardScaled(nn.Module):
    """Inputs less ``mean``, divided by ``scale``, both (features,)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, features) to (n, features)."""
        return (inputs - self.mean) / self.scale


class Perceptron(nn.Sequential):
    """The layers one after the other.

    Attributes
    ----------
    feature_names : tuple of str, optional
        The columns that it was fitted on, in order, where it was fitted on columns with names.
    """

    feature_names: tuple[str, ...] | None = None


def refuse_other_columns(model: object, data: Dataset | Stream, what: str = "the model") -> None:
    """Refuses columns that are not those of the model, in its order; where either has no names none are compared.

    Raises
    ------
    InputError
        If they differ.
    """
    module = model.module if isinstance(model, TorchNetwork) else model
    wanted = module.feature_names if isinstance(module, Perceptron) else None
    if wanted is None or data.feature_names is None or tuple(data.feature_names) == wanted:
        return
    there = set(data.feature_names)
    lacking, more = [n for n in wanted if n not in there], [n for n in data.feature_names if n not in wanted]
    said = [f"lacks {shown(lacking)}"] if lacking else []
    said += [f"has {shown(more)} besides (--drop)"] if more else []
    raise InputError(
        f"{what} was fitted on the columns {', '.join(wanted[:12])}{', ...' if len(wanted) > 12 else ''}, in this"
        f" order; {data.name or '`data`'} {' and '.join(said) or 'has them in another one'}."
    )


def open_skops(content: bytes, members: Mapping[str, bytes], *, what: str) -> Perceptron:
    """The network in a skops file as an equivalent module; that of a classifier returns logits, one for two classes.

    It is an ``MLPClassifier`` or ``MLPRegressor``, alone or as the last step of a pipeline behind a ``StandardScaler``.

    Raises
    ------
    UnsafeModelError
        If the file holds another type, or is damaged.
    InputError
        If the network is one of several labels or has another output than logits and numbers.
    ConfigError
        If skops is not installed.
    """
    try:
        for loader, name in _entries(json.loads(members["schema.json"])):
            allowed = NODES.get(loader)
            if allowed is None or not allowed.fullmatch(name):
                raise UnsafeModelError(
                    f"{what} holds a {name[:80]!r} ({loader[:40]}), which no multilayer perceptron needs; save the"
                    " MLPClassifier or MLPRegressor alone with `skops.io.dump`, or export another model to ONNX."
                )
    except (KeyError, ValueError, RecursionError) as error:
        raise UnsafeModelError(f"{what} is no skops file, or damaged; save the model again.") from error
    try:
        import skops.io
    except ImportError as error:
        raise ConfigError(f"{what} needs skops: pip install 'fairheads[integrations]'.") from error
    try:
        return _module(skops.io.loads(content, trusted=list(TRUSTED)), what)
    except InputError:
        raise
    except Exception as error:  # skops and scikit-learn raise many kinds on damaged files
        line = first_line(error)
        raise UnsafeModelError(f"{what} is damaged, or no such network ({line[:120]}); save it again.") from error


def _entries(node: Any) -> Iterator[tuple[str, str]]:
    """Loader and full name of every entry of the schema."""
    if isinstance(node, list):
        for each in node:
            yield from _entries(each)
    elif isinstance(node, dict):
        if "__loader__" in node:
            yield str(node["__loader__"]), f"{node.get('__module__')}.{node.get('__class__')}"
        for each in node.values():
            yield from _entries(each)


def _module(model: Any, what: str) -> Perceptron:
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    made: list[nn.Module] = []
    for step in steps[:-1]:
        if not isinstance(step, StandardScaler):
            raise InputError(f"{what}: of the steps before the network only a StandardScaler is known.")
        width = step.n_features_in_
        mean = step.mean_ if step.with_mean else np.zeros(width)
        made.append(StandardScaled(torch.tensor(mean), torch.tensor(step.scale_ if step.with_std else np.ones(width))))
    net = steps[-1]
    if not isinstance(net, MLPClassifier | MLPRegressor):
        raise InputError(f"{what} holds a {type(net).__name__}, not an MLPClassifier or MLPRegressor.")
    several = net.out_activation_ == "logistic" and net.n_outputs_ > 1
    if net.out_activation_ not in ("logistic", "softmax", "identity") or several:
        raise InputError(f"{what}: networks with several labels or an output {net.out_activation_!r} are not known.")
    for number, (coefficients, intercepts) in enumerate(zip(net.coefs_, net.intercepts_, strict=True)):
        if number and net.activation != "identity":
            made.append(ACTIVATIONS[net.activation]())
        linear = nn.utils.skip_init(nn.Linear, *coefficients.shape, dtype=torch.tensor(coefficients).dtype)
        linear.load_state_dict({"weight": torch.tensor(coefficients.T.copy()), "bias": torch.tensor(intercepts)})
        made.append(linear)
    network = Perceptron(*made)
    names = getattr(model, "feature_names_in_", None)
    network.feature_names = None if names is None else tuple(str(name) for name in names)
    return network.eval()
