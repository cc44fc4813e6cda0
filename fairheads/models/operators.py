"""Operators that an exported graph may call: torch's own on tensors, and Python's on sizes; a list, not a pattern.

``torch.ops.aten`` alone is no safe place: ``aten.from_file`` and ``aten.save`` read and write files there, others
resize memory or follow indices unchecked. Allowed are torch's core operators and its elementwise ones, less `REFUSED`,
and those of `NAMED` that exports of networks hold beside them.
"""

from __future__ import annotations

import re

import torch
from torch import _ops

NAMED = frozenset(
    # layers
    "linear bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution batch_norm"
    " layer_norm group_norm instance_norm rms_norm _native_batch_norm_legit_no_training native_layer_norm"
    " native_group_norm embedding lstm gru rnn_tanh rnn_relu dropout dropout_ feature_dropout alpha_dropout"
    " feature_alpha_dropout scaled_dot_product_attention _native_multi_head_attention"
    " _transformer_encoder_layer_fwd"
    # pooling and resampling
    " adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d"
    " avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d max_pool2d_with_indices"
    " upsample_nearest1d upsample_nearest2d upsample_bilinear2d pixel_shuffle pad constant_pad_nd"
    # activations
    " prelu glu hardswish hardswish_ softmax log_softmax relu6_ gelu_ mish_ leaky_relu_ elu_ rrelu celu log_sigmoid"
    # products
    " __and__ __or__ matmul mm bmm addmm baddbmm mv dot outer einsum tensordot chain_matmul cosine_similarity linalg_vector_norm"
    # shapes
    " view reshape view_as reshape_as flatten unflatten squeeze unsqueeze transpose permute t numpy_T movedim swapaxes"
    " expand expand_as repeat repeat_interleave cat concat stack split split_with_sizes chunk unbind slice select narrow"
    " tile roll contiguous clone alias detach detach_ lift_fresh_copy to type_as _to_copy _unsafe_view broadcast_to"
    " diagonal tril triu masked_fill where meshgrid"
    # reductions and sizes
    " sum mean var std var_mean std_mean all any cumsum cumprod logsumexp median argmax argmin max min norm"
    " amax amin sym_size sym_numel size"
    # constants
    " arange zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full scalar_tensor one_hot eye"
    # what an export asserts
    " _assert_scalar _assert_tensor_metadata sym_constrain_range sym_constrain_range_for_size".split()
)
"""Names, whatever their overload."""

REFUSED = frozenset(
    "resize_ as_strided empty empty_strided nonzero _local_scalar_dense masked_scatter equal _pdist_forward"
    " _cdist_forward _embedding_bag _fft_r2c _fft_c2r col2im rand randn randperm sym_storage_offset"
    " sym_is_contiguous".split()
)
"""Core operators whose results depend on memory, chance or data, or that are no part of networks."""

SIZES = frozenset("add sub mul floordiv mod neg eq ne lt le gt ge and_ or_ not_ truediv".split())
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
