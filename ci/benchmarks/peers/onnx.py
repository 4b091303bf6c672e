"""onnxruntime: predictions of a model made with onnx."""

import os

import numpy as np

from .base import Contender, predicting, whole_or_chunks


def _model(case):
    """Return the network as ONNX: its labels where it classifies, else its outputs."""
    from onnx import TensorProto, helper, numpy_helper

    acts, nodes, arrays, name = {"logistic": "Sigmoid", "relu": "Relu"}, [], [], "x"
    for i, layer in enumerate(case.weights()):
        arrays += [numpy_helper.from_array(a, f"{k}{i}") for k, a in zip("Wb", layer)]
        nodes.append(helper.make_node("Gemm", [name, f"W{i}", f"b{i}"], [f"z{i}"]))
        name, act = f"z{i}", case.activation if i < len(case.sizes) - 2 else case.output
        if act != "identity":
            nodes.append(helper.make_node(acts[act], [name], [f"a{i}"]))
            name = f"a{i}"
    kind = TensorProto.FLOAT
    if case.loss == "log_loss":
        nodes.append(helper.make_node("ArgMax", [name], ["labels"], axis=1, keepdims=0))
        name, kind = "labels", TensorProto.INT64
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, case.sizes[0]])
    out = helper.make_tensor_value_info(name, kind, None)
    graph = helper.make_graph(nodes, case.name, [x], [out], arrays)
    opset = [helper.make_opsetid("", 17)]  # of 2022: every runtime of today reads it
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def predict(case, data):
    """Prepare predictions: whole or in chunks, whichever is faster."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    x, _ = data
    session = onnxruntime.InferenceSession(_model(case), options, ["CPUExecutionProvider"])

    def whole(x):
        (out,) = session.run(None, {"x": x})
        return out if out.ndim == 1 else out[:, 0]

    return predicting(whole_or_chunks(whole, np.concatenate, x), x)


CONTENDERS = (Contender("onnxruntime", "predict", predict, ("onnx", "onnxruntime")),)
