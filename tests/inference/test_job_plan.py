"""What words mean: folders, patterns and manifests become jobs; nothing leads out of the folder of results."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from aio.errors import InputError
from aio.inference.jobs.plan import check_targets, make_plan
from aio.inference.jobs.shard import Shard, parse_shard
from albums import draw, draw_album


def plan(*words, output, **options):
    return make_plan([str(word) for word in words], output, **options)


def targets(found, output):
    return sorted(str(job.target.relative_to(output)) for job in found.jobs)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def album(tmp_path):
    return draw_album(tmp_path / "album", "a.jpg deep/b.png deep/er/c.tif .hidden.png .trash/d.png")


def test_a_folder_is_all_below_it_but_what_is_hidden(album, out):
    assert targets(plan(album, output=out), out) == ["a.jpg", "deep/b.png", "deep/er/c.tif"]
    assert targets(plan(album, album / "a.jpg", output=out), out) == ["a.jpg", "deep/b.png", "deep/er/c.tif"]


def test_what_is_no_photograph_is_passed_over_with_a_reason(album, out, monkeypatch):
    os.mkfifo(album / "pipe.png")
    (album / "empty.jpg").touch()
    (album / "notes.txt").write_text("no image")
    (album / "folder.png").mkdir()
    (album / "lost.png").symlink_to("nowhere.png")
    monkeypatch.chdir(album)  # the path of a socket may not be long
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind("socket.png")
    found = plan(album, output=out)
    assert len(found.jobs) == 3
    assert {each.path.name: each.reason for each in found.skipped} == {
        "pipe.png": "is a named pipe",
        "socket.png": "is a socket",
        "empty.jpg": "is empty (0 bytes)",
        "notes.txt": "its name ends in .txt, as no image's does",
        "lost.png": "is a link that leads nowhere (No such file or directory)",
    }
    with pytest.raises(InputError, match="this is a named pipe"):
        plan(album / "pipe.png", output=out)


def test_links_that_go_round_are_walked_once(album, out):
    (album / "deep" / "up").symlink_to(album)
    (album / "again").symlink_to(album / "deep" / "er")
    (album / "linked.jpg").symlink_to(album / "a.jpg")
    assert targets(plan(album, output=out), out) == ["a.jpg", "deep/b.png", "deep/er/c.tif", "linked.jpg"]


def test_results_below_the_photographs_are_none(album):
    out = album / "restored"
    draw(out / "a.jpg")
    assert targets(plan(album, output=out), out) == ["a.jpg", "deep/b.png", "deep/er/c.tif"]
    beside = plan(album, output=album, suffix="_aio", ours={"restored/a.jpg"})
    assert targets(beside, album) == ["a_aio.jpg", "deep/b_aio.png", "deep/er/c_aio.tif"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg"]),
        ("**/*.png", ["deep/b.png"]),
        ("**", ["a.jpg", "deep/b.png", "deep/er/c.tif"]),
        ("deep/**/?.*", ["b.png", "er/c.tif"]),
        ("*/[bc].*", ["deep/b.png"]),
        ("**/e*/**/c.*", ["deep/er/c.tif"]),
    ],
)
def test_a_pattern_keeps_the_tree_below_its_fixed_part(pattern, expected, album, out):
    assert targets(plan(album / pattern, output=out), out) == expected


def test_a_name_with_the_signs_of_a_pattern_is_a_name(album, out):
    draw(album / "odd [1].png")
    assert targets(plan(album / "odd [1].png", output=out), out) == ["odd [1].png"]
    with pytest.raises(InputError, match="holds no image"):
        plan(album / "*.webp", output=out)
    with pytest.raises(InputError, match="no such file or folder"):
        plan(album / "none.png", output=out)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("list.txt", "a.jpg\r\n\ndeep/b.png\n../other.png\n", ["a.jpg", "deep/b.png", "other.png"]),
        ("list.csv", "\ufeffpath,output\na.jpg,\ndeep/b.png,new/name.png\n", ["a.jpg", "new/name.png"]),
        ("list.jsonl", '{"path": "a.jpg"}\n{"path": "deep/b.png", "output": "x.jpg"}\n', ["a.jpg", "x.jpg"]),
    ],
)
def test_a_manifest_lists_photographs_from_its_own_folder(name, text, expected, album, out, monkeypatch):
    draw(album.parent / "other.png")
    (album / name).write_text(text)
    assert targets(plan(album / name, output=out), out) == expected
    monkeypatch.chdir(album)
    assert targets(plan(name, output=out), out) == expected


@pytest.mark.parametrize("output", ["../x.png", "/x.png", "a/../../x.png", "a/..", ".", "..", "a\0b"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_no_manifest_leads_out_of_the_results(output, kind, album, out):
    manifest = album / f"list.{kind}"
    row = json.dumps({"path": "a.jpg", "output": output})
    manifest.write_text(row if kind == "jsonl" else f"path,output\na.jpg,{output}\n")
    with pytest.raises(InputError, match=rf"list\.{kind}, line \d"):
        plan(manifest, output=out)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.csv", "file\na.jpg\n", "expected a column named path, got file"),
        ("list.jsonl", "[]\n", "expected an object of JSON"),
        ("list.jsonl", "{\n", "expected an object of JSON"),
        ("list.jsonl", '{"path": 3}\n', "expected a path, got 3"),
        ("list.jsonl", '{"path": "\\ud800.png"}\n', "can be no file's name"),
        ("list.txt", "\n", "holds no image"),
    ],
)
def test_a_manifest_of_another_form_is_refused(name, text, message, album, out):
    (album / name).write_text(text)
    with pytest.raises(InputError, match=message):
        plan(album / name, output=out)


def test_links_in_the_results_do_not_lead_out(album, out, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    out.mkdir()
    (out / "deep").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="out of"):
        plan(album, output=out)
    (out / "deep").unlink()
    (out / ".aio").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="out of"):
        plan(album, output=out)


def test_the_folder_of_results_itself_may_be_a_link(album, out, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    out.symlink_to(tmp_path / "elsewhere")
    assert len(plan(album, output=out).jobs) == 3


def test_no_photograph_is_replaced(album, out, tmp_path):
    with pytest.raises(InputError, match="would be replaced by its restoration"):
        check_targets(plan(album, output=album).jobs, album)
    draw(out / "deep" / "b.png")
    with pytest.raises(InputError, match=r"b\.png: is there, and is no restoration by this command"):
        check_targets(plan(album, output=out).jobs, out)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder for the results"):
        plan(album, output=tmp_path / "file")


def test_comparisons_have_a_place_of_their_own(album, out):
    found = plan(album, output=out, compare=True)
    assert {str(job.comparison.relative_to(out)) for job in found.jobs} == {
        "compare/a.jpg.jpg",
        "compare/deep/b.png.jpg",
        "compare/deep/er/c.tif.jpg",
    }
    draw(album / "Compare" / "e.png")
    with pytest.raises(InputError, match="where the comparisons are kept"):
        plan(album, output=out, compare=True)


@pytest.mark.parametrize(("option", "value"), [("format", "gif"), ("format", "nonsense"), ("suffix", "/x")])
def test_a_format_or_suffix_that_cannot_be_is_refused(option, value, album, out):
    with pytest.raises(InputError, match=f"--{option}"):
        plan(album, output=out, **{option: value})


def test_shards_part_the_jobs_and_stay_when_files_are_added(tmp_path, out):
    names = [f"{number}.png" for number in range(200)]
    shards = [Shard(index, 3) for index in (1, 2, 3)]
    parts = [{name for name in names if shard.holds(name)} for shard in shards]
    assert set.union(*parts) == set(names)
    assert sum(map(len, parts)) == 200
    assert min(map(len, parts)) > 40


@pytest.mark.parametrize("word", ["0/3", "4/3", "3", "1/0", "-1/2", "a/b", "1/2/3", "1/²"])
def test_a_shard_that_is_none_is_refused(word):
    with pytest.raises(ValueError, match="expected i/N"):
        parse_shard(word)
    assert parse_shard("2/8") == Shard(2, 8)


def test_paths_of_other_spelling_are_one_photograph(album, out):
    found = plan(album / "a.jpg", Path(f"{album}/deep/../a.jpg"), output=out)
    assert len(found.jobs) == 1
