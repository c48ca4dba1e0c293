import hashlib

import pytest

from babelens.data.fetch_recipe import find_recipe, known_recipes, parse_recipe
from babelens.schema import InputError

OWN = """
name = "own"
title = "An own set"
home = "https://example.org"
licence = "CC0"
sentences = "2"
pictures = "none"
languages = ["en"]
base = "https://example.org/files/1.0/"
[[files]]
path = "a b/train.jsonl"
part = "train"
layout = "jsonl"
"""


def test_an_own_recipe_is_read_from_its_file(tmp_path):
    (tmp_path / "own.toml").write_text(OWN)
    recipe = find_recipe(str(tmp_path / "own.toml"))
    [file] = recipe.files
    assert (file.target, file.sha256) == ("train.jsonl", None)
    assert recipe.url(file) == "https://example.org/files/1.0/a%20b/train.jsonl"
    assert recipe.url(file, "http://near/all/") == "http://near/all/example.org/files/1.0/a%20b/train.jsonl"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('part = "train"', 'part = "trial"', "Invalid enum value 'trial'"),
        ('path = "a b', 'hash = "x"\npath = "a', "unknown field `hash`"),
        ('part = "train"', 'part = "train"\nsha256 = "12"', "sha256"),
        ("a b/train", "../train", r"paths below base, without \.\., found '\.\./train"),
        ("a b/train", "/etc/train", "paths below base"),
        ("https://example.org/files", "file:///etc", "starts with https:// or http://, found 'file:///etc"),
        ('part = "train"', 'part = "train"\nlanguage = "fr"', "expected fr among the languages of the set, found en"),
        ('part = "train"', 'part = "train"\nlanguage = "english"', "expected a language code such as en"),
        ('layout = "jsonl"', 'layout = "jsonl"\n[[files]]\npath = "b"\npart = "train"\nlayout = "jsonl"', "several of"),
        ("[[files]]", "[[file]]", "unknown field `file`"),
        ('"CC0"', "CC0", "(?i)invalid value"),
        ('name = "own"', 'name = "../own"', "name"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(tmp_path, old, new, message):
    assert old in OWN
    (tmp_path / "own.toml").write_text(OWN.replace(old, new))
    with pytest.raises(InputError, match=message) as raised:
        find_recipe(str(tmp_path / "own.toml"))
    assert "own.toml: " in str(raised.value)


def test_a_recipe_has_files_or_says_whom_to_ask(tmp_path):
    text = OWN.partition("[[files]]")[0]
    with pytest.raises(InputError, match="files, or words on whom to ask"):
        parse_recipe(text, tmp_path / "own.toml")
    assert parse_recipe('ask = "Write to them."\n' + text, tmp_path / "own.toml").select(()) == ()


def test_names_that_are_not_known():
    with pytest.raises(InputError, match=r"mmnerd, mmnerd-en, twitter2015, twitter2017, wikineural, .*found 'coco'"):
        find_recipe("coco")
    with pytest.raises(InputError, match="expected a recipe, found no such file"):
        find_recipe("coco.toml")


@pytest.mark.parametrize("recipe", known_recipes().values(), ids=lambda recipe: recipe.name)
def test_recipes_of_the_package_name_a_fixed_version(recipe):
    if not recipe.files:
        assert "@" in recipe.ask
        return
    *_, commit = recipe.base.split("/")
    assert len(commit) == 40 and int(commit, 16)
    targets = {file.target for file in recipe.files}
    assert targets == {f"{code}/{part}.txt" for code in recipe.languages for part in ("train", "valid", "test")}


def test_checksums_are_those_of_the_files_on_disk(shared):
    compared = 0
    for recipe in known_recipes().values():
        for file in recipe.files:
            expected = file.sha256 or file.result
            name = file.target if file.layout == "conllu" else f"{file.part}.txt"
            if expected is None:
                continue
            content = (shared / recipe.name / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == expected
            compared += 1
            if file.layout == "conll":
                assert len(content) == file.size
    assert compared == 9 + 8
