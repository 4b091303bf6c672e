"""The decorator `each` runs every case and names those that fail."""

import pytest
from each import each


def test_every_combination_runs_and_those_that_fail_are_named_together():
    seen = []

    @each("a, b", [(1, 2), (3, 4)], ids=["low", "high"])
    @each("letter", "xyz")
    def walk(a, letter, b, fixture):
        seen.append((a, b, letter, fixture))
        if letter == "y":
            pytest.fail("no y")
        assert (a, letter) != (3, "z")

    with pytest.raises(
        BaseExceptionGroup, match="3 of 6 cases fail: low-y, high-y, high-z"
    ) as caught:
        walk(fixture=0)
    assert seen == [(a, b, letter, 0) for letter in "xyz" for a, b in ((1, 2), (3, 4))]
    assert [error.__notes__ for error in caught.value.exceptions][0] == ["in the case low-y"]


def test_a_case_has_a_folder_of_its_own_and_its_patches_are_undone(tmp_path, monkeypatch):
    @each("name", ["a/b", "c"])
    def walk(name, tmp_path, monkeypatch):
        assert not [*tmp_path.iterdir()]
        (tmp_path / "file").touch()
        assert not hasattr(each, "patched")
        monkeypatch.setattr(each, "patched", name, raising=False)

    monkeypatch.setattr(each, "before", 0, raising=False)
    walk(tmp_path=tmp_path, monkeypatch=monkeypatch)
    assert len([*tmp_path.rglob("file")]) == 2 and each.before == 0


def test_a_skip_ends_the_test_and_no_two_cases_have_one_name():
    @each("name", "aa")
    def walk(name):
        pytest.skip("not here")

    with pytest.raises(pytest.skip.Exception):
        walk()
    assert [id for id, _ in walk.of_each[1]] == ["a (0)", "a (1)"]


def test_parts_are_ids_that_share_the_cases():
    seen = []

    @each("number", range(5), parts=2)
    def walk(number):
        seen.append(number)

    (mark,) = walk.pytestmark
    assert mark.args == ("nth_part", range(2))
    walk(nth_part=1)
    walk(nth_part=0)
    with pytest.raises(TypeError, match="topmost"):
        each("other", "ab")(walk)
    assert seen == [1, 3, 0, 2, 4]
