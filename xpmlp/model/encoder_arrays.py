"""The encoder of a table as arrays of a model file, and back; its text is one of them."""

import json
from dataclasses import fields

import numpy as np

from ..container import strict_json
from .columns import KINDS, Column
from .encoding import Encoder, Scales
from .fields import flag, maybe, number, record, row, several, text, title, whole, word

ENDS = maybe(number())
COLUMN = row(title, word(*KINDS), flag, several(text), flag, flag, ENDS, ENDS, least=6)
FIELDS = {
    "columns": several(COLUMN),
    "n_edges": several(whole(1)),
    "robust": flag,
    "named": flag,
}


def arrays_of(encoder):
    """Return the arrays that hold an encoder; its text is one, as categories may be many."""
    text = {
        "columns": [[getattr(c, f.name) for f in fields(c)] for c in encoder.columns],
        "n_edges": [len(a) for a in encoder.edges],
        "robust": encoder.robust,
        "named": encoder.named,
    }
    made = json.dumps(text).encode()
    made += b" " * (-len(made) % 4)
    return {
        "encoder.text": np.frombuffer(made, "<i4"),
        "encoder.edges": np.concatenate([np.empty(0), *encoder.edges]),
        **{f"encoder.{k}": v for k, v in encoder.scales._asdict().items()},
    }


def encoder_of(arrays, n_features, network):
    """Return the encoder of a table, whose arrays are taken out of `arrays`."""
    scales = Scales(*(arrays.pop(f"encoder.{name}") for name in Scales._fields))
    edges = arrays.pop("encoder.edges")
    if any(a.dtype != np.float64 for a in (*scales, edges)):
        raise ValueError("the scales of its table are not float64")
    sizes = getattr(network.layers[0], "sizes", ())
    # What is encoded of a column has scales, or an embedding: so many columns and categories.
    most = scales.center.size + len(sizes), scales.center.size + sum(sizes)
    if n_features > most[0]:
        raise ValueError(f"it has {n_features} features and the scales of {most[0]} columns")
    raw = arrays.pop("encoder.text").astype("<i4").tobytes()
    said = strict_json(raw.decode(), 11 * n_features + most[1] + 10, "[{,")
    record(FIELDS)(said, "its table")
    if len(said["columns"]) != n_features:
        raise ValueError(f"it has {len(said['columns'])} columns for {n_features} features")
    columns = tuple(Column(n, k, m, tuple(c), *rest) for n, k, m, c, *rest in said["columns"])
    counts = said["n_edges"]
    if sum(counts) != edges.size or len(counts) not in (0, scales.fill.size):
        raise ValueError(f"it has {edges.size} edges of bins, which its columns do not share")
    parts = tuple(np.split(edges, np.cumsum(counts, dtype=np.int64))[:-1])
    how = {name: said[name] for name in ("robust", "named")}
    encoder = Encoder(columns, scales, edges=parts, **how)
    if encoder.sizes and sizes != encoder.sizes:
        raise ValueError(f"its first layer embeds no categories of {encoder.sizes}")
    return encoder
