"""Many cheap cases in one test: an id for each would cost more time than most cases take."""

import functools
import inspect

import pytest


def each(names, values, ids=str, *, parts=1):
    """Run a test on each case in turn, and name together those that fail.

    It is written as `pytest.mark.parametrize` is, and stacks as that does. Cases share the
    fixtures, but for `monkeypatch`, which each has for itself, and `tmp_path`, of which each has a
    folder. A skip ends the test: it must hold for every case.

    ids: value -> name, or the names of all. parts: into how many ids the cases are dealt, for
    workers to share them; `ci/test fast` runs the first. The topmost decorator says it.
    """
    names = [name.strip() for name in names.split(",")]
    values = list(values)
    ids = _distinct(map(ids, values) if callable(ids) else ids)
    cases = [(id, _named(names, value)) for id, value in zip(ids, values, strict=True)]

    def decorate(test):
        one, others = getattr(test, "of_each", (test, [("", {})]))
        product = [
            ("-".join(filter(None, [id, other])), case | rest)
            for other, rest in others
            for id, case in cases
        ]

        @functools.wraps(test)
        def run_each(nth_part=0, **fixtures):
            run, failed = product[nth_part::parts], {}
            for i, (id, case) in enumerate(run):
                try:
                    with pytest.MonkeyPatch.context() as patch:
                        one(**_fresh(fixtures, patch, i), **case)
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"in the case {id}")
                    failed[id] = error
            if failed:
                message = f"{len(failed)} of {len(run)} cases fail: {', '.join(failed)}"
                raise BaseExceptionGroup(message, list(failed.values()))

        run_each.of_each = one, product
        given = inspect.signature(test).parameters.values()
        left = [p for p in given if p.name not in names]
        if "nth_part" in {p.name for p in left}:
            raise TypeError("the topmost `each` says how many parts there are")
        run_each.__signature__ = inspect.Signature(left)
        if parts == 1:
            return run_each
        nth_part = inspect.Parameter("nth_part", inspect.Parameter.KEYWORD_ONLY)
        run_each.__signature__ = inspect.Signature([*left, nth_part])
        return pytest.mark.parametrize("nth_part", range(parts))(run_each)

    return decorate


def _distinct(ids):
    """The names of cases, on a line each, with their place where several are the same."""
    names = [" ".join(str(id).split())[:60] for id in ids]
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names)]


def _named(names, value):
    """The arguments of one case."""
    return dict(zip(names, value if len(names) > 1 else [value], strict=True))


def _fresh(fixtures, patch, i):
    """The fixtures of a case: patches and a folder of its own."""
    own = {}
    if "monkeypatch" in fixtures:
        own["monkeypatch"] = patch
    if "tmp_path" in fixtures:
        own["tmp_path"] = fixtures["tmp_path"] / f"case{i}"
        own["tmp_path"].mkdir()
    return fixtures | own
