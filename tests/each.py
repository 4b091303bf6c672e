"""Many cheap cases in one test: an id for each would cost more time than most cases take."""

import functools
import inspect

import pytest


def each(names, values, ids=str, *, parts=1):
    """Run a test on each case in turn, and name together those that fail.

    It is written as `pytest.mark.parametrize` is, and stacks as that does. Cases share the
    fixtures, but for `monkeypatch`, which is undone after each, and `tmp_path`, of which each has a
    folder. A skip ends the test: it must hold for every case.

    ids: value -> name, or the names of all. parts: into how many ids the cases are dealt, for
    workers to share them; `ci/test fast` runs the first. The topmost decorator says it.
    """
    names = [name.strip() for name in names.split(",")]
    values = list(values)
    ids = map(ids, values) if callable(ids) else ids
    cases = [(id, _named(names, value)) for id, value in zip(ids, values, strict=True)]

    def decorate(test):
        inner, others = getattr(test, "of_each", (test, [("", {})]))
        product = [
            ("-".join(filter(None, [id, other])), case | rest)
            for other, rest in others
            for id, case in cases
        ]
        assert len(dict(product)) == len(product), "two cases have one name"

        @functools.wraps(test)
        def run_each(nth_part=0, **fixtures):
            run = product[nth_part::parts]
            failures = {id: _failure(inner, case, id, fixtures) for id, case in run}
            failed = {id: error for id, error in failures.items() if error}
            if failed:
                message = f"{len(failed)} of {len(run)} cases fail: {', '.join(failed)}"
                raise BaseExceptionGroup(message, list(failed.values()))

        run_each.of_each = inner, product
        given = inspect.signature(test).parameters.values()
        left = [p for p in given if p.name not in names]
        run_each.__signature__ = inspect.Signature(left)
        if parts == 1:
            return run_each
        nth_part = inspect.Parameter("nth_part", inspect.Parameter.KEYWORD_ONLY)
        run_each.__signature__ = inspect.Signature([*left, nth_part])
        return pytest.mark.parametrize("nth_part", range(parts))(run_each)

    return decorate


def _named(names, value):
    """The arguments of one case."""
    return dict(zip(names, value if len(names) > 1 else [value], strict=True))


def _failure(test, case, id, fixtures):
    """What a case raises, with its name as a note, or None."""
    if "tmp_path" in fixtures:
        folder = fixtures["tmp_path"] / "".join(c if c.isalnum() else "_" for c in id)
        folder.mkdir()
        fixtures = fixtures | {"tmp_path": folder}
    try:
        test(**fixtures, **case)
    except (Exception, pytest.fail.Exception) as error:
        error.add_note(f"in the case {id}")
        return error
    finally:
        if "monkeypatch" in fixtures:
            fixtures["monkeypatch"].undo()
    return None
