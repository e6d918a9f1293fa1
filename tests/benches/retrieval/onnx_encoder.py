"""all-MiniLM-L6-v2 in onnxruntime, from the weights that the release has: builds the graph, then answers line by line.

    onnx_encoder.py WEIGHTS.safetensors TOKENIZER.json THREADS

A line on standard input is JSON: {"texts": [...]}, all of one length in tokens. The answer is JSON: {"seconds": of the run alone,
"tokens": of a text, "first": the first vector}. f32, as onnxruntime runs the published model; graph optimisations are all on.
"""

import json
import math
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS, WIDTH = 12, 384


class Graph:
    def __init__(self, weights):
        self.weights, self.nodes, self.constants, self.known = weights, [], [], set()

    def constant(self, name, array):
        if name not in self.known:
            self.known.add(name)
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name):
        return self.constant(name, self.weights[name].astype(np.float32))

    def add(self, kind, *inputs, **attributes):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def norm(self, x, name):
        return self.add("LayerNormalization", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), axis=-1, epsilon=1e-12)

    def dense(self, x, name):
        turned = self.constant(f"{name}.turned", self.weights[f"{name}.weight"].astype(np.float32).T)
        return self.add("Add", self.add("MatMul", x, turned), self.weight(f"{name}.bias"))

    def heads(self, x, turn):
        shape = self.constant("split", np.array([0, 0, HEADS, WIDTH // HEADS], np.int64))
        return self.add("Transpose", self.add("Reshape", x, shape), perm=turn)


def build(weights, length):
    g = Graph(weights)
    words = g.add("Gather", g.weight("embeddings.word_embeddings.weight"), "ids")
    places = weights["embeddings.position_embeddings.weight"][:length] + weights["embeddings.token_type_embeddings.weight"][0]
    x = g.norm(g.add("Add", words, g.constant("places", places.astype(np.float32))), "embeddings.LayerNorm")
    for n in range(6):
        layer = f"encoder.layer.{n}"
        query, key, value = (g.dense(x, f"{layer}.attention.self.{part}") for part in ("query", "key", "value"))
        scores = g.add("MatMul", g.heads(query, [0, 2, 1, 3]), g.heads(key, [0, 2, 3, 1]))
        scores = g.add("Mul", scores, g.constant("scale", np.float32(1 / math.sqrt(WIDTH // HEADS))))
        mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), g.heads(value, [0, 2, 1, 3]))
        joined = g.constant("join", np.array([0, 0, WIDTH], np.int64))
        mixed = g.add("Reshape", g.add("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
        x = g.norm(g.add("Add", x, g.dense(mixed, f"{layer}.attention.output.dense")), f"{layer}.attention.output.LayerNorm")
        inner = g.add("Gelu", g.dense(x, f"{layer}.intermediate.dense"))
        x = g.norm(g.add("Add", x, g.dense(inner, f"{layer}.output.dense")), f"{layer}.output.LayerNorm")
    mean = g.add("ReduceMean", x, g.constant("axis", np.array([1], np.int64)), keepdims=0)
    out = g.add("LpNormalization", mean, axis=-1, p=2)
    graph = helper.make_graph(
        g.nodes,
        "encoder",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", length])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["texts", WIDTH])],
        g.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def main(path, tokens, threads):
    weights, sessions, tokenizer = load_file(path), {}, Tokenizer.from_file(tokens)
    tokenizer.no_padding()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    for line in sys.stdin:
        texts = json.loads(line)["texts"]
        ids = np.array([one.ids for one in tokenizer.encode_batch(texts)], np.int64)
        length = ids.shape[1]
        if length not in sessions:
            model = build(weights, length)
            onnx.checker.check_model(model)
            sessions[length] = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        begun = time.perf_counter()
        (vectors,) = sessions[length].run(None, {"ids": ids})
        seconds = time.perf_counter() - begun
        print(json.dumps({"seconds": seconds, "tokens": length, "first": vectors[0].tolist()}), flush=True)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
