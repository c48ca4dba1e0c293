import pytest

from babelens.build.images_failures import failure_status

# What img2dataset 1.47.0 wrote into its Parquet files, run against a server on loopback.
DOWNLOAD = {
    "blocked": [
        "HTTP Error 401: Unauthorized",
        "HTTP Error 403: Forbidden",
        "HTTP Error 429: Too Many Requests",
        "HTTP Error 451: Unavailable For Legal Reasons",
        "Use of image disallowed by X-Robots-Tag directive",
    ],
    "changed": [
        "HTTP Error 302: Found",
        "HTTP Error 302: The HTTP server returned a redirect error that would lead to an infinite loop.\n"
        "The last 30x error message was:\nFound",
        "hash mismatch",
    ],
    "corrupt": ["IncompleteRead(1190 bytes read, 1191 more expected)"],
    "dead": [
        "HTTP Error 400: Bad Request",
        "HTTP Error 404: Not Found",
        "HTTP Error 405: Method Not Allowed",
        "HTTP Error 410: Gone",
        "HTTP Error 418: I'm a Teapot",
        "HTTP Error 500: Internal Server Error",
        "HTTP Error 503: Service Unavailable",
        "timed out",
        "Remote end closed connection without response",
        "<urlopen error [Errno 111] Connection refused>",
        "<urlopen error [Errno -2] Name or service not known>",
        "<urlopen error no host given>",
        "<urlopen error [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)>",
        "unknown url type: 'nonsense'",
        "nonnumeric port: 'port'",
        "URL can't contain control characters. '/a b.jpg' (found at least ' ')",
        "'ascii' codec can't encode character '\\xe9' in position 14: ordinal not in range(128)",
    ],
}
RESIZE = {
    "corrupt": [
        "Image decoding error",
        "image area too large",
        "OpenCV(4.14.0) /io/opencv/modules/imgcodecs/src/loadsave.cpp:1310: error: (-215:Assertion failed) "
        "!buf.empty() in function 'imdecode_'\n",
    ],
    "too small": ["image too small", "aspect ratio too large"],
}


@pytest.mark.parametrize(
    ("kind", "message", "status"),
    [
        (kind, message, status)
        for kind, told in (("failed_to_download", DOWNLOAD), ("failed_to_resize", RESIZE))
        for status, messages in told.items()
        for message in messages
    ],
)
def test_the_words_of_img2dataset_have_a_status(kind, message, status):
    assert failure_status(kind, message) == status
