"""Writes golden.json: what all-MiniLM-L6-v2 gives for a few texts, by the published formulas in numpy and in f64.

    pip install numpy tokenizers safetensors
    python3 reference.py FOLDER_WITH_model.safetensors_AND_tokenizer.json > golden.json

BERT: Devlin and others 2018. Mean pooling and length 1: the model card of sentence-transformers/all-MiniLM-L6-v2.
"""

import base64
import json
import math
import sys

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TEXTS = [
    "What is an enclave?",
    "An enclave is a part of a processor's memory that its operator cannot read.",
    "The passengers of the cancelled flight LH400 were booked on the next one.",
    "Employees accrue 2.5 days of paid leave per month, at most 45 days in all.",
    "a",
    "",
    "   \n\t ",
    "[CLS] and [SEP] and [MASK] are written here as words.",
    "Überraschung! Der Vertrag endet am 31. März; Kündigung nur schriftlich.",
    "El contrato se renueva automáticamente salvo aviso previo de treinta días.",
    "東京で会議があります。",
    "Привет, как дела? Договор подписан вчера.",
    "def f(x):\n    return {k: v**2 for k, v in x.items()}",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis 😀👩‍💻",
    "IBAN DE89 3704 0044 0532 0130 00, card 4111-1111-1111-1111, mail a.person@example.org",
    "Payment is due within fourteen days of the invoice. " * 14,
    "The store keeps passages in partitions, one for each role, so that recall does not fall. " * 24,
]


def erf(x):
    return np.vectorize(math.erf)(x)


def main(folder):
    weights = {k: v.astype(np.float64) for k, v in load_file(f"{folder}/model.safetensors").items()}
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True

    def norm(x, name):
        mean, spread = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(spread + 1e-12) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def embed(text):
        ids = [101, *tokenizer.encode(text, add_special_tokens=False).ids, 102]
        x = weights["embeddings.word_embeddings.weight"][ids]
        x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for n in range(6):
            layer = f"encoder.layer.{n}"
            heads = [
                dense(x, f"{layer}.attention.self.{part}").reshape(len(ids), 12, 32).transpose(1, 0, 2)
                for part in ("query", "key", "value")
            ]
            scores = heads[0] @ heads[1].transpose(0, 2, 1) / math.sqrt(32)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            mixed = (scores @ heads[2]).transpose(1, 0, 2).reshape(len(ids), 384)
            x = norm(x + dense(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
            inner = dense(x, f"{layer}.intermediate.dense")
            inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
            x = norm(x + dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        vector = x.mean(0)
        return ids, vector / np.linalg.norm(vector)

    rows = []
    for text in TEXTS:
        ids, vector = embed(text)
        packed = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        rows.append({"text": text, "tokens": len(ids), "vector": packed})
    json.dump(rows, sys.stdout, ensure_ascii=False, indent=1)
    print()


main(sys.argv[1])
