"""Accounts of a Label Studio server: signing up and getting a token, as a browser does it.

Its API makes accounts without a password, so both go through its forms.
"""

from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import msgspec

from babelens.data.problems import quote
from babelens.schema import InputError

_SECONDS = 60


class Session:
    """Someone signed in at a server.

    Raises:
        InputError: nobody answers at the address, or address and password are refused.
    """

    def __init__(self, url: str, email: str, password: str, *, link: str | None = None) -> None:
        """Sign in; with `link`, an invitation (see `invitation`), sign up."""
        self._url = url.rstrip("/")
        self._cookies = CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self._cookies))
        form = link or "/user/login/"
        self._open(form)
        self._open(form, urlencode({"email": email, "password": password, "csrfmiddlewaretoken": self._mark()}))
        # A refused form is answered as an accepted one, with status 200.
        try:
            self._answer("/api/current-user/whoami")
        except InputError:
            raise InputError(
                f"{url}: expected an address and password that the server takes, found {quote(email)}"
            ) from None

    def token(self) -> str:
        """A new personal access token of this account."""
        return self._answer("/api/token/", "{}")["token"]

    def invitation(self) -> str:
        """The link with which others sign up, without the address of the server."""
        return self._answer("/api/invite")["invite_url"]

    def _answer(self, path: str, content: str | None = None) -> Any:
        return msgspec.json.decode(self._open(path, content, "application/json"))

    def _mark(self) -> str:
        return next((cookie.value or "" for cookie in self._cookies if cookie.name == "csrftoken"), "")

    def _open(self, path: str, content: str | None = None, kind: str = "application/x-www-form-urlencoded") -> bytes:
        headers = {"Referer": self._url + path, "X-CSRFToken": self._mark(), "Content-Type": kind}
        request = Request(self._url + path, None if content is None else content.encode(), headers)
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                return answer.read()
        except HTTPError as error:
            raise InputError(f"{self._url}{path}: expected an answer, found status {error.code}") from None
        except URLError as error:
            raise InputError(f"{self._url}: expected a running Label Studio, found {error.reason}") from None
