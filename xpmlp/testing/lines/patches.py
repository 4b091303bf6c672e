"""Another right-hand side in the asker's code, which stays as it is."""

import functools
import gc
import linecache
import types
import zlib


class Patched:
    """A function in whose run some of the asker's functions have other code, and before after.

    They are exchanged in place, not copied: so methods, closures, decorated functions and helpers
    that others call need nothing of their own.
    """

    def __init__(self, function, codes):
        self.function, self.codes = function, codes
        functools.update_wrapper(self, function, updated=())  # its attributes are its own

    def __call__(self, *args, **options):
        """Call the asker's function."""
        former = {function: function.__code__ for function in self.codes}
        try:
            for function, code in self.codes.items():
                function.__code__ = code
            return self.function(*args, **options)
        finally:
            for function, code in former.items():
                function.__code__ = code


def patched(function, statement, text):
    """Return a function like the asker's with another right-hand side in a statement, or None.

    None where the statement has no piece of its own, or its function is not to be had.
    """
    if statement.piece is None:
        return None
    if isinstance(function, Patched):
        function, former = function.function, function.codes
    else:
        former = {}
    # Python refuses a code that no longer uses a variable of the functions around it: so the
    # second text keeps the piece as what it was, where it is never evaluated.
    for version in (text, f"({text}) if True else ({statement.source})"):
        codes = _codes(statement, version, former)
        if codes:
            return Patched(function, former | codes)
    return None


def _codes(statement, text, former):
    """Return the codes with another piece, by the functions that they are for, or {}.

    former: codes of an earlier patch, by functions.
    """
    moment, changed = statement.moment, statement.changed(text)[0]
    file = f"<changed {zlib.crc32(changed.encode()):08x} of {moment.source.file}>"
    try:
        before, after = (
            compile(part, file, "exec", dont_inherit=True) for part in (moment.source.text, changed)
        )
    except SyntaxError:  # of the second version, where the piece is a statement
        return {}
    linecache.cache[file] = len(changed), None, changed.splitlines(True), file
    codes: dict = {}
    # Functions around it are exchanged too: that of the statement may be made in each run.
    for old, new in _way(before, after, moment.code):
        if old.co_freevars == new.co_freevars:
            ran = [code for code in moment.codes if _alike(code, old)]
            codes |= {f: new for code in ran for f in _functions(code, former)}
    return codes


def _functions(code, former):
    """Return the functions that have a code, or had it in a patch."""
    found = [function for function, patch in former.items() if patch is code]
    users = [] if found else gc.get_referrers(code)  # a frame does not tell its function
    return found + [user for user in users if isinstance(user, types.FunctionType)]


def _way(old, new, code):
    """Return the pairs of old and new codes from a file's down to that of a function, or []."""
    if _alike(old, code):
        return [(old, new)]
    inner = [[c for c in whole.co_consts if isinstance(c, types.CodeType)] for whole in (old, new)]
    ways = (_way(a, b, code) for a, b in zip(*inner))
    return next(([(old, new), *way] for way in ways if way), [])


def _alike(a, b):
    """Whether codes are of the same place of the same text."""
    if (a.co_name, a.co_firstlineno) != (b.co_name, b.co_firstlineno):
        return False
    return list(a.co_positions()) == list(b.co_positions())
