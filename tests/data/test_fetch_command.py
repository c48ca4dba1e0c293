import pytest
import typer
from typer.testing import CliRunner

from babelens.cli.fetch import fetch
from babelens.data.fetch_recipe import known_recipes
from babelens.schema import InputError


def run(*arguments):
    app = typer.Typer()
    app.command()(fetch)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


RECIPE = """
name = "tweets"
title = "Some tweets"
home = "https://example.org"
licence = "none is stated"
sentences = "1,446"
pictures = "elsewhere"
ask = "Ask for the pictures."
languages = ["en"]
base = "https://example.org/1.0"
"""


@pytest.fixture
def own(shared, tmp_path, monkeypatch):
    """A recipe, and a folder with its files where fetch looks for them; there is no way to any server."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    recipe = RECIPE
    (tmp_path / "data" / "tweets" / "published").mkdir(parents=True)
    for part, name in (("train", "valid"), ("valid", "test")):
        content = (shared / "twitter2017" / f"{name}.txt").read_bytes()
        (tmp_path / "data" / "tweets" / "published" / f"{name}.txt").write_bytes(content)
        recipe += f'[[files]]\npath = "{name}.txt"\npart = "{part}"\nlanguage = "en"\n'
    (tmp_path / "own.toml").write_text(recipe)
    return tmp_path / "data" / "tweets"


@pytest.mark.parametrize("arguments", [(), ("--list",)])
def test_all_sets_are_listed(arguments):
    output = run(*arguments)
    for recipe in known_recipes().values():
        assert f"{recipe.name}: {recipe.title}" in output
        assert recipe.licence in output
    assert "mmnerd: MMNERD, complete: four languages with pictures (must be asked for)" in output
    assert "languages: en, fr, de, es, it, nl, pl, pt, ru" in output


def test_what_must_be_asked_for_says_whom():
    with pytest.raises(InputError, match=r"mmnerd cannot be downloaded\. Write to the authors \(wangdsh@pku\.edu\.cn"):
        run("mmnerd")


def test_a_published_set_becomes_a_corpus(own):
    from babelens.data.check import check
    from babelens.data.places import find_all
    from babelens.data.reading import make_reading

    output = run("own.toml")
    assert "data/tweets/en/train.txt: 723 sentences, taken from the published file there\n" in output
    assert "the recipe knows no checksum; written down is that of this file: sha256 41b5db90cb32" in output
    assert output.endswith(
        "licence: none is stated\nnot here: Ask for the pictures.\nnext: babelens data check data/tweets\n"
    )
    report = check(find_all(own), make_reading(None, None, {}, None, False, None, None), pictures=False)
    assert (report.faulty, [part.rows for part in report.parts]) == (False, [723, 723])
    assert "en/valid.txt: 723 sentences, there already\n" in run("own.toml", "--language", "en")


def test_without_a_network_it_says_where_the_file_can_be_put(own, monkeypatch):
    from babelens.data import fetch_download

    quick = fetch_download.Patience(attempts=2, pause=0.01)
    monkeypatch.setattr(fetch_download, "Patience", lambda: quick)
    (own / "published" / "test.txt").unlink()
    with pytest.raises(InputError, match=r"no connection[\s\S]* put by hand at data/tweets/published/test\.txt"):
        run("own.toml")


def test_ctrl_c_says_how_to_go_on(own, monkeypatch):
    import babelens.data.fetch

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(babelens.data.fetch, "fetch", stop)
    with pytest.raises(InputError, match="kept in data/tweets: the same command goes on") as raised:
        run("own.toml")
    assert raised.value.exit_code == 130


@pytest.mark.long
@pytest.mark.parametrize("name", ["mmnerd-en", "twitter2015", "twitter2017"])
def test_the_published_files_are_those_of_the_recipe(shared, tmp_path, name):
    recipe = known_recipes()[name]
    for file in recipe.files:
        place = tmp_path / "published" / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((shared / name / f"{file.part}.txt").read_bytes())
    output = run(name, "--out", tmp_path)
    for file in recipe.files:
        assert f"{file.target}: {file.rows:,} sentences" in output
    assert sum(file.rows or 0 for file in recipe.files) == int(recipe.sentences.replace(",", ""))
