"""Operators that an exported graph may call: torch's own on tensors, and Python's on sizes; a list, not a pattern.

``torch.ops.aten`` alone is no safe place: ``aten.from_file`` and ``aten.save`` read and write files there, others
resize memory or follow indices unchecked. Allowed are torch's core operators and its elementwise ones, less `REFUSED`,
and those of `NAMED` that exports of networks hold beside them.
"""

from __future__ import annotations

import re

import torch
from torch import _ops

_LAYERS = """
linear bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d batch_norm layer_norm group_norm
instance_norm rms_norm embedding lstm gru rnn_tanh rnn_relu dropout dropout_ feature_dropout alpha_dropout
feature_alpha_dropout scaled_dot_product_attention adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
adaptive_max_pool1d adaptive_max_pool2d avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d
upsample_nearest1d upsample_nearest2d upsample_bilinear2d pixel_shuffle pad prelu glu hardswish hardswish_ softmax
log_softmax relu6_ gelu_ mish_ leaky_relu_ elu_ rrelu celu log_sigmoid
"""
_PRODUCTS = (
    "matmul baddbmm mv dot outer einsum tensordot chain_matmul cosine_similarity linalg_vector_norm __and__ __or__"
)
_SHAPES = """
reshape view_as reshape_as flatten unflatten squeeze unsqueeze transpose t numpy_T movedim swapaxes expand_as
repeat_interleave concat stack split chunk unbind narrow tile roll contiguous clone detach detach_ lift_fresh_copy to
type_as _unsafe_view broadcast_to tril triu masked_fill meshgrid select slice
"""
_REDUCTIONS = "sum mean var std var_mean std_mean all any cumprod logsumexp median argmax argmin max min norm size"
_CONSTANTS = "arange zeros ones zeros_like ones_like new_zeros new_ones new_full one_hot eye"
_CHECKS = "_assert_scalar _assert_tensor_metadata sym_constrain_range sym_constrain_range_for_size"
NAMED = frozenset(" ".join((_LAYERS, _PRODUCTS, _SHAPES, _REDUCTIONS, _CONSTANTS, _CHECKS)).split())
"""Names, whatever their overload."""

_UNFIT = """
resize_ as_strided empty empty_strided nonzero _local_scalar_dense masked_scatter equal _pdist_forward _cdist_forward
_embedding_bag _fft_r2c _fft_c2r col2im rand randn randperm sym_storage_offset sym_is_contiguous
"""
REFUSED = frozenset(_UNFIT.split())
"""Core operators whose results depend on memory, chance or data, or that are no part of networks."""

_ON_SIZES = "add sub mul floordiv mod neg eq ne lt le gt ge and_ or_ not_ truediv"
SIZES = frozenset(_ON_SIZES.split())
"""Names of Python's ``operator`` that may act on sizes."""

_ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_PYTHON = re.compile(r"_operator\.(\w+)")


def operator_kind(target: str) -> str | None:
    """``"tensor"`` or ``"size"`` for a target that may be called, None for every other.

    Examples
    --------
    >>> operator_kind("torch.ops.aten.relu.default"), operator_kind("_operator.mul")
    ('tensor', 'size')
    >>> operator_kind("torch.ops.aten.from_file.default"), operator_kind("_operator.methodcaller")
    (None, None)
    """
    size = _PYTHON.fullmatch(target)
    if size is not None:
        return "size" if size[1] in SIZES else None
    tensor = _ATEN.fullmatch(target)
    if tensor is None:
        return None
    packet, overload = tensor.groups()
    if packet in REFUSED or packet.endswith(("_backward", "_backward_")):
        return None
    operator = getattr(getattr(torch.ops.aten, packet, None), overload, None)
    if not isinstance(operator, _ops.OpOverload) or _writes_out(operator):
        return None
    known = torch.Tag.core in operator.tags or torch.Tag.pointwise in operator.tags or packet in NAMED
    return "tensor" if known else None


def _writes_out(operator: _ops.OpOverload) -> bool:
    """Whether an operator writes into an argument other than the one that it acts on in place."""
    arguments = operator._schema.arguments
    return any(a.alias_info is not None and a.alias_info.is_write for a in arguments[1:]) or any(
        a.name == "filename" for a in arguments
    )
