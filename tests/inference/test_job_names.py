"""Names of restorations: never one for two photographs, whatever the file system, the order and the options."""

from __future__ import annotations

import os
import unicodedata
from itertools import permutations
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.errors import InputError
from aio.inference.jobs.names import Wish, choose_names, comparison_of, key_of


def wish(name, folder="album"):
    return Wish(Path("/", folder, name), PurePosixPath(name))


def named(wishes, **options):
    return {str(w.source): str(name) for w, name in zip(wishes, choose_names(wishes, **options), strict=True)}


def test_names_and_folders_are_kept():
    wishes = [wish("a.jpg"), wish("b/été.PNG"), wish("archive.tar"), wish("no ending")]
    assert list(named(wishes).values()) == ["a.jpg", "b/été.PNG", "archive.tar", "no ending"]


def test_suffix_and_format_change_the_name():
    wishes = [wish("a.jpg"), wish("b/c.JPEG"), wish("d.v2"), wish("e.png")]
    changed = named(wishes, suffix="_aio", format="jpg")
    assert list(changed.values()) == ["a_aio.jpg", "b/c_aio.JPEG", "d.v2_aio.jpg", "e_aio.jpg"]


def test_who_has_the_name_already_keeps_it_in_any_order():
    wishes = [wish("a.jpg"), wish("a.png"), wish("a.webp"), wish("b.jpg")]
    first = named(wishes, format="png")
    assert first["/album/a.png"] == "a.png"
    assert first["/album/b.jpg"] == "b.png"
    assert len(set(first.values())) == 4
    assert all(named(order, format="png") == first for order in permutations(wishes))


@pytest.mark.parametrize(
    "names",
    [
        ("A.jpg", "a.jpg"),
        ("Straße.jpg", "STRASSE.jpg"),
        (unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")),
        ("x/a.jpg", "X/A.jpg"),
    ],
)
def test_names_that_a_file_system_takes_for_one_are_told_apart(names):
    chosen = choose_names([wish(name) for name in names])
    assert key_of(chosen[0]) != key_of(chosen[1])
    assert all("~" in name.name for name in chosen)


def test_digits_depend_on_the_photograph_alone():
    two = named([wish("a.jpg", "x"), wish("a.jpg", "y")])
    three = named([wish("a.jpg", "z"), wish("a.jpg", "y"), wish("a.jpg", "x")])
    assert len(set(three.values())) == 3
    assert {path: three[path] for path in two} == two


def test_a_manifest_has_the_first_right_and_may_not_contradict_itself():
    fixed = Wish(Path("/m/q.jpg"), PurePosixPath("a.jpg"), fixed=True)
    chosen = named([wish("a.jpg"), fixed])
    assert chosen["/m/q.jpg"] == "a.jpg"
    assert "~" in chosen["/album/a.jpg"]
    with pytest.raises(InputError, match="would both be written to A"):
        choose_names([fixed, Wish(Path("/m/r.jpg"), PurePosixPath("A.jpg"), fixed=True)])
    with pytest.raises(InputError, match="where a folder"):
        choose_names([fixed, Wish(Path("/m/r.jpg"), PurePosixPath("a.jpg/r.jpg"), fixed=True)])


def test_a_photograph_gives_way_to_a_folder_of_its_name():
    assert [str(name) for name in choose_names([wish("a.png"), wish("a.png/b.png")])][1] == "a.png/b.png"
    assert choose_names([wish("a.png"), wish("a.png/b.png")])[0].name.startswith("a~")


@pytest.mark.parametrize("letter", ["x", "é", "😀", "\udcff"])
def test_long_names_are_cut_to_what_a_file_system_takes(letter):
    longest = letter * (251 // len(os.fsencode(letter))) + ".jpg"
    chosen = choose_names([wish(longest), wish(longest[:-5] + "z.jpg")], suffix="_restored", format="png")
    assert chosen[0] != chosen[1]
    for name in (*chosen, *map(comparison_of, chosen)):
        assert len(os.fsencode(name.name)) <= 255
    assert all(name.name.endswith("_restored.png") for name in chosen)


letters = st.text(st.sampled_from("aAéÉe\u0301ßs.~\udcff😀"), min_size=1, max_size=6).filter(lambda s: s.strip("."))
endings = st.sampled_from([".jpg", ".png", ".PNG", ".tif", ""])


@settings(max_examples=50)
@given(st.lists(st.tuples(letters, letters, endings), max_size=12, unique=True), st.sampled_from([None, "png", "jpg"]))
def test_no_two_share_a_name_and_the_order_is_nothing(parts, format):
    wishes = [wish(f"{folder}/{stem}{ending}") for folder, stem, ending in parts]
    chosen = named(wishes, format=format)
    assert len({key_of(name) for name in chosen.values()}) == len(chosen)
    assert named(wishes[::-1], format=format) == chosen
