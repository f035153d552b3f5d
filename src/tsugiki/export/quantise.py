"""A backbone's weights in 8 bits: a quarter of the size, and each row still answers the same beside any other.

Measured with MiniLM on six tasks (heads from 5 or 16 samples a class, 150 test rows each): agreement with the fp32
labels, lowest and highest; size; texts/s relative to fp32 on one core.

| recipe                                                       | agreement   | MB | speed |
|--------------------------------------------------------------|-------------|----|-------|
| fp32                                                         | 1           | 91 | 1     |
| dynamic, per channel                                         | 0.900-0.973 | 59 | 2.6   |
| dynamic, per channel, without the second layer of each block | 0.927-0.993 | 70 | 1.8   |
| blocks of 128 weights                                        | 0.953-1.000 | 59 | 1.6   |
| blocks of 32 weights                                         | 0.993-1.000 | 60 | 1.4   |
| blocks of 32 weights, word table by row: this recipe         | 0.987-1.000 | 25 | 1.4   |

Dynamic quantisation takes one scale for a whole batch of activations, so a row's answer depends on its neighbours
(features moved by 0.03) and outliers behind the activation function cost the rest their precision. Blocks have a
scale of their own in every row: nothing moves.

The packing is done here because onnxruntime's own quantiser, when imported, reconfigures the process's logging.
Kernels of convolutions are kept as bytes with a scale for each output channel, and multiplied in fp32: no operator of
onnxruntime takes them in blocks. Those of one input channel (depthwise) are a hundredth of the weights, and the ones
that lose most: they stay as they are. Agreement with the fp32 labels, size: EfficientNet-Lite0, 153 and 250 pictures
of two sets, 1.000 and 0.988, 4.2 of 13.6 MB; Whisper's encoder, 250 spoken digits, 1.000, 11 of 33 MB.

Layout: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
"""
# pyright: reportUnknownMemberType=false
# onnx leaves the list methods of its messages untyped.

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from tsugiki.domain import Floats

BITS = 8
BLOCK = 32  # the table above: larger blocks lose labels and win little time
ZERO_POINT = 128  # what the operator takes off each byte when it is given no zero points
LARGEST = 127  # the largest distance from it used: both signs reach equally far
COMPUTE_INT8 = 4  # the operator's accuracy_level which multiplies in 8 bits; the exact one takes four times as long
TABLE_ROWS = 1024  # embeddings with more rows than any position table: the words, most of a small encoder's bytes
DOMAIN = "com.microsoft"


def quantise(model: onnx.ModelProto) -> None:
    """Changes a backbone's weights to 8 bits. Apply it before a head is appended, which stays fp32 by that."""
    floats = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    nodes: list[NodeProto] = []
    packed: dict[str, list[TensorProto]] = {}
    for node in model.graph.node:
        if node.op_type == "MatMul" and _is_matrix(weight := floats.get(node.input[1])):
            packed[weight.name] = _blocks(weight.name, numpy_helper.to_array(weight))
            nodes.append(_product(node, weight))
        elif node.op_type == "Gather" and _is_table(table := floats.get(node.input[0])):
            packed[table.name] = _rows(table.name, numpy_helper.to_array(table))
            nodes.extend(_lookup(node))
        elif node.op_type == "Conv" and _is_dense(kernels := floats.get(node.input[1])):
            packed[kernels.name] = _channels(kernels.name, numpy_helper.to_array(kernels))
            nodes.extend(_convolution(node))
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    for name, tensors in packed.items():
        model.graph.initializer.extend(tensors)
        if name not in used:  # a tensor that also serves elsewhere is kept for that
            model.graph.initializer.remove(floats[name])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def _is_matrix(tensor: TensorProto | None) -> TypeGuard[TensorProto]:
    return tensor is not None and len(tensor.dims) == 2


def _is_table(tensor: TensorProto | None) -> TypeGuard[TensorProto]:
    return _is_matrix(tensor) and tensor.dims[0] > TABLE_ROWS


def _is_dense(tensor: TensorProto | None) -> TypeGuard[TensorProto]:
    """Kernels (out, in, ...) that each read more than one channel."""
    return tensor is not None and len(tensor.dims) > 2 and tensor.dims[1] > 1


def _product(node: NodeProto, weight: TensorProto) -> NodeProto:
    """`activations @ weight`, the weight (K, N) given as bytes and a scale for each block along K."""
    name = weight.name
    return helper.make_node(
        "MatMulNBits",
        [node.input[0], f"{name}.int8", f"{name}.scale"],
        list(node.output),
        node.name,
        domain=DOMAIN,
        K=weight.dims[0],
        N=weight.dims[1],
        bits=BITS,
        block_size=BLOCK,
        accuracy_level=COMPUTE_INT8,
    )


def _blocks(name: str, weight: Floats) -> list[TensorProto]:
    """(K, N) float -> bytes (N, blocks, BLOCK) and scales (N, blocks); the last block is filled up with zeros."""
    columns = np.pad(weight.T, ((0, 0), (0, -len(weight) % BLOCK))).reshape(weight.shape[1], -1, BLOCK)
    scale = _scale(columns)
    return [
        numpy_helper.from_array((np.rint(columns / scale) + ZERO_POINT).astype(np.uint8), f"{name}.int8"),
        numpy_helper.from_array(scale[..., 0], f"{name}.scale"),
    ]


def _lookup(node: NodeProto) -> list[NodeProto]:
    """`row = bytes[id] * scale[id]`, in standard operators."""
    (table, ids), (row,) = node.input, node.output
    return [
        helper.make_node("Gather", [f"{table}.int8", ids], [f"{row}.int8"]),
        helper.make_node("Cast", [f"{row}.int8"], [f"{row}.unscaled"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{table}.scale", ids], [f"{row}.scale"]),
        helper.make_node("Mul", [f"{row}.unscaled", f"{row}.scale"], [row]),
    ]


def _rows(name: str, table: Floats) -> list[TensorProto]:
    """(rows, dim) float -> signed bytes (rows, dim) and scales (rows, 1)."""
    scale = _scale(table)
    return [
        numpy_helper.from_array(np.rint(table / scale).astype(np.int8), f"{name}.int8"),
        numpy_helper.from_array(scale, f"{name}.scale"),
    ]


def _convolution(node: NodeProto) -> list[NodeProto]:
    kernels = node.input[1]
    restored = f"{node.output[0]}.kernels"
    unpacked = helper.make_node("DequantizeLinear", [f"{kernels}.int8", f"{kernels}.scale"], [restored], axis=0)
    convolution = NodeProto()
    convolution.CopyFrom(node)
    convolution.input[1] = restored
    return [unpacked, convolution]


def _channels(name: str, kernels: Floats) -> list[TensorProto]:
    """(out, in, ...) float -> signed bytes of the same shape and scales (out,)."""
    scale = _scale(kernels.reshape(len(kernels), -1))
    steps = kernels / scale.reshape(-1, *[1] * (kernels.ndim - 1))
    return [
        numpy_helper.from_array(np.rint(steps).astype(np.int8), f"{name}.int8"),
        numpy_helper.from_array(scale[:, 0], f"{name}.scale"),
    ]


def _scale(values: Floats) -> Floats:
    """One step of each group along the last axis, kept as an axis of 1; 1 where all of a group is zero."""
    largest = np.abs(values).max(axis=-1, keepdims=True) / LARGEST
    return np.where(largest > 0, largest, 1).astype(np.float32)
