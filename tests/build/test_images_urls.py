import shlex
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.build.images_urls import address, download_command, url_digest, write_urls


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://a.example/x.jpg", "http://a.example/x.jpg"),
        (" https://a.example:8443/x%20y.jpg?a=1&b=%C3%A9#top ", "https://a.example:8443/x%20y.jpg?a=1&b=%C3%A9"),
        ("http://a.example/é à.jpg?q=ü", "http://a.example/%C3%A9%20%C3%A0.jpg?q=%C3%BC"),
        ("http://bücher.example/x", "http://xn--bcher-kva.example/x"),
        ("HTTP://A.example", "http://A.example"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("file:///etc/hostname", None),
        ("ftp://a.example/x.jpg", None),
        ("data:,hello", None),
        ("x.jpg", None),
        ("http:///x.jpg", None),
        ("http://a.example:port/x", None),
        ("http://a b.example/x", None),
        ("http://[::1/x", None),
        ("http://" + "ü" * 70 + ".example/", None),
        ("", None),
    ],
)
def test_addresses(url, asked):
    assert address(url) == asked
    if asked is not None:
        assert address(asked) == asked
        assert url_digest(url) == url_digest(asked)


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://a.example/", "https://a.example/?", "http://é/"]))
def test_any_url_gives_an_address_in_ascii_that_stays_or_none(rest, start):
    found = address(start + rest)
    if found is not None:
        assert found.isascii() and found.isprintable() and " " not in found
        assert urlsplit(found).scheme in ("http", "https")
        assert address(found) == found
    assert len(url_digest(start + rest)) == 16


def test_each_address_is_written_once_in_the_order_of_rows(tmp_path):
    urls = ["http://a/é", None, "http://b/1", "http://a/%C3%A9", "file:///x", "http://b/1", "http://c/"]
    rows = [{"id": str(n), "text": "", **({} if url is None else {"url": url})} for n, url in enumerate(urls)]
    rows.append({"id": "x", "text": "", "image": "http://d/x.png"})
    rows.append({"id": "y", "text": "", "image": "no-url.png"})
    asked = write_urls(iter(rows), tmp_path / "new" / "urls.parquet")
    table = pq.read_table(tmp_path / "new" / "urls.parquet")
    assert table["url"].to_pylist() == ["http://a/%C3%A9", "http://b/1", "http://c/", "http://d/x.png"]
    assert table["id"].to_pylist() == [url_digest(url).hex() for url in table["url"].to_pylist()]
    assert (asked.urls, asked.rows, asked.unfit) == (4, 6, 1)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["urls.parquet"]


def test_a_stopped_write_leaves_nothing(tmp_path):
    def rows():
        yield {"id": "1", "text": "", "url": "http://a/"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_urls(rows(), tmp_path / "urls.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_command_can_be_pasted(tmp_path):
    words = shlex.split(download_command(tmp_path / "my urls.parquet", tmp_path / "shards"))
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert words[0] == "img2dataset"
    assert options["--url_list"] == str(tmp_path / "my urls.parquet")
    assert options["--save_additional_columns"] == '["id"]'
    assert options["--disable_all_reencoding"] == "True"
