"""Where in what backward returned the gradient of each parameter stands: by names, or in order."""

import re

import numpy as np

from .trees import host_array, leaves, parts_of

BEFORE = r"d?[jlce]?d|d(loss|cost|error)d?|grad(ient)?s?(of|wrt)?|nabla|delta|g(?=[wb]\d*$)"
AFTER = r"grad(ient)?s?|deltas?|deriv(ative)?"
ALIKE = {"weights": "w", "weight": "w", "biases": "b", "bias": "b"}


def plain(name):
    """Return a name without capitals and underscores."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def gradient_places(found, parameters, params, names=()):
    """Return the path in `found` of the gradient of each parameter, None where there is none.

    names: what the source of backward calls the parts of the tuple that it returns, nested alike.
    """
    parts = {path: part for path, part in leaves(found) if np.ndim(_host(part)) or path}
    paths = list(parts)
    named = [_named(path, names) for path in paths]
    by_names = _by_names(named, [p.path for p in parameters], paths)
    same_form = [_same_key(found, p.path, params) for p in parameters]
    for places in (by_names * bool(names), same_form, by_names):
        if any(path is not None and path in parts for path in places):
            return [dict(zip(parts, parts)).get(path) for path in places]
    places = _in_order(parts, parameters)
    if places is None:
        raise TypeError(_refusal(found, params))
    return places


def stored_places(state, parameters):
    """Return the path, among an object's, of what is called like the gradient of each parameter."""
    paths = [path for path in state if any(order for order, _ in words(path))]
    return _by_names(paths, [p.path for p in parameters], paths)


def _host(part):
    try:
        return host_array(part)
    except ValueError:  # a ragged list
        return np.empty(0)


def _named(path, names):
    """Return a path in words: numbers at its head become the names that the source has there."""
    while names and path and isinstance(path[0], int) and path[0] < len(names):
        head, names = names[path[0]], names[path[0]]
        path = path[1:]
        if isinstance(head, str):
            return (head, *path)
    return path


def words(path):
    """Return what the gradient of W1 may be called: {(1, "w1"), ...}, 0 for the path as it is."""
    texts = [i for i, key in enumerate(path) if isinstance(key, str) and not key.isdigit()]
    if not texts:
        return set()
    last = plain(path[texts[-1]])
    numbers = "".join(str(key) for i, key in enumerate(path) if i not in texts)
    stripped = {re.sub(f"^({BEFORE})", "", last), re.sub(f"({AFTER})$", "", last)}
    if any(re.fullmatch(f"{BEFORE}|{AFTER}", plain(path[i])) for i in texts[:-1]):
        stripped, last = {last, *stripped}, f"d{last}"  # grads["W1"] is called as dW1 is
    found = {(0, last), *((1, word) for word in stripped - {last, ""})}
    return {(order, ALIKE.get(word, word) + numbers) for order, word in found}


def _by_names(found, wanted, paths):
    """Return for each wanted path which is called like its gradient, or None.

    found: what `paths` are called.
    """
    called = [next((word for order, word in words(path) if not order), None) for path in wanted]
    places: list = []
    for word in called:
        alike = (
            (order, i) for i, path in enumerate(found) for order, w in words(path) if w == word
        )
        fits = [(-order, i) for order, i in alike]
        places.append(None)
        if fits and called.count(word) == 1:
            places[-1] = paths[min(fits)[1]]
    return places


def _same_key(found, path, params):
    """Return the path in `found` that has the form of params, keys spelt in any way; or None."""
    part, form, place = found, params, []
    for key in path:
        if isinstance(part, dict) != isinstance(form, dict) or parts_of(part) is None:
            return None
        keys = [k for k, _ in parts_of(part)]
        if isinstance(form, dict):
            spelt = {word for _, word in words((str(key),))} | {key}
            keys = [k for k in keys if k == key or spelt & {w for _, w in words((str(k),))}]
            keys.sort(key=lambda k: k != key)
        else:
            keys = [k for k in keys if k == key]
        if not keys:
            return None
        place.append(keys[0])
        part, form = dict(parts_of(part))[keys[0]], dict(parts_of(form))[key]
    return tuple(place)


def _in_order(parts, parameters):
    """Return the places in the parameters' order, or by shape where that tells; None if neither."""
    shapes = {path: _host(part).shape for path, part in parts.items()}
    wanted = [host_array(p.like).shape for p in parameters]
    for alike in (tuple.__eq__, _same_without_ones):
        if shapes and len(shapes) <= len(wanted) and all(map(alike, shapes.values(), wanted)):
            return [*shapes, *[None] * (len(wanted) - len(shapes))]
        free, places = dict(shapes), []
        for shape in wanted:
            fits = [path for path in free if alike(free[path], shape)]
            places += fits[:1]
            free = {path: other for path, other in free.items() if path not in places}
        if len(places) == len(wanted):
            return places
    return list(parts) if len(parts) == len(wanted) else None


def _same_without_ones(one, two):
    return [n for n in one if n > 1] == [n for n in two if n > 1]


def _refusal(found, params):
    expected = f"a list of {len(params)} in the same order"
    if isinstance(params, dict):
        expected = f"a dict with the keys {', '.join(map(str, params))}"
    what = type(found).__name__
    if isinstance(found, dict):
        what = f"a dict with the keys {', '.join(map(str, found))}"
    return f"backward returned {what}, expected the gradients in the form of params: {expected}."
