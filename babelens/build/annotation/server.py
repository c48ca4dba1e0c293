"""A running Label Studio, through its SDK: projects, tasks in, annotations out. The SDK is in the extra `build`.

`scripts/label-studio.sh` starts a server on this machine. Tested against Label Studio 1.23 and its SDK 2.0.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from babelens.build.annotation.labelstudio import Export
from babelens.data.problems import quote
from babelens.schema import InputError

# A request may hold 200 MB; pictures inside tasks are what makes it large.
_REQUEST_BYTES = 20_000_000
_SECONDS = 300
_TITLE = range(3, 51)


@contextmanager
def connect(url: str, token: str) -> Iterator[Any]:
    """The SDK's client for a server, with the token of an account (Account & Settings, Personal Access Token).

    What the server refuses inside the `with` is the input's fault too.

    Raises:
        InputError: the SDK is not installed, nobody answers at the address, the token or something else is refused.
    """
    try:
        sdk = import_module("label_studio_sdk")
        errors = import_module("label_studio_sdk.core.api_error")
        http = import_module("httpx")
    except ImportError as error:
        raise InputError(
            f"Label Studio's SDK: expected the extra build (pip install 'babelens[build]'), found none ({error})"
        ) from None
    with http.Client(timeout=_SECONDS, follow_redirects=True) as connection:
        try:
            client = sdk.LabelStudio(base_url=url, api_key=token, httpx_client=connection)
            try:
                client.users.whoami()
            except errors.ApiError as error:
                raise InputError(f"{url}: expected a valid access token, found status {error.status_code}") from None
            except ValueError:
                # The SDK takes whatever answers for Label Studio, and its answers for JSON.
                raise InputError(f"{url}: expected Label Studio, found another server") from None
            yield client
        except errors.ApiError as error:
            raise InputError(f"{url}: expected an answer, found status {error.status_code}: {error.body}") from error
        except (http.HTTPError, http.InvalidURL) as error:
            raise InputError(f"{url}: expected a running Label Studio, found {error}") from error


def make_project(client: Any, title: str, interface: str, *, pictures: Path | None = None) -> int:
    """The number of the project with this title; it is made where there is none.

    Its pre-labels are shown, and skipped tasks do not come back. `pictures` is the folder of pictures that the server
    has on its own disk (see `tasks.served`).

    Raises:
        InputError: the title is too short or long, or there is a project of this title with another interface.
    """
    if len(title) not in _TITLE:
        raise InputError(f"project: expected a title of {_TITLE[0]} to {_TITLE[-1]} characters, found {quote(title)}")
    there = _number(client, title, interface)
    if there is not None:
        return there
    project = client.projects.create(
        title=title,
        label_config=interface,
        show_collab_predictions=True,
        skip_queue="IGNORE_SKIPPED",
        maximum_annotations=1,
    )
    if pictures is not None:
        client.import_storage.local.create(
            project=project.id, title="pictures", path=str(pictures.resolve()), use_blob_urls=True
        )
    return project.id


def find_project(client: Any, title: str, interface: str) -> int:
    """The number of the project with this title.

    Raises:
        InputError: there is none, or it has another interface.
    """
    there = _number(client, title, interface)
    if there is None:
        raise InputError(f"project {quote(title)}: expected one of this title that the account can see, found none")
    return there


def _number(client: Any, title: str, interface: str) -> int | None:
    for project in client.projects.list():
        if project.title == title:
            if project.label_config != interface:
                raise InputError(f"project {quote(title)}: expected the labelling configuration as now, found another")
            return project.id
    return None


def send_tasks(client: Any, project: int, tasks: Sequence[Mapping[str, Any]]) -> int:
    """Add tasks of rows that a project does not have yet, so that sending again adds nothing; give their number."""
    there = {task["data"].get("row") for task in fetch(client, project).tasks}
    new = [task for task in tasks if task["data"]["row"] not in there]
    for part in _parts(new):
        client.projects.import_tasks(project, request=part)
    return len(new)


def _parts(tasks: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    part: list[Mapping[str, Any]] = []
    size = 0
    for task in tasks:
        length = len(msgspec.json.encode(task))
        if part and size + length > _REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(task)
        size += length
    if part:
        yield part


def fetch(client: Any, project: int, annotator: str | None = None) -> Export:
    """All tasks of a project with annotations and drafts, in Label Studio's JSON."""
    title = client.projects.get(project).title
    content = b"".join(client.projects.exports.download_sync(project, export_type="JSON", download_all_tasks=True))
    return Export(f"project {quote(title)}", msgspec.json.decode(content), annotator)


def account_names(client: Any, emails: Mapping[str, str]) -> dict[str, str]:
    """Names of people by their number in Label Studio and by e-mail address, as `read_annotations` wants them.

    Args:
        client: see `connect`.
        emails: name to e-mail address.

    Raises:
        InputError: an address without an account.
    """
    numbers = {user.email.lower(): user.id for user in client.users.list()}
    names: dict[str, str] = {}
    for name, email in emails.items():
        if email.lower() not in numbers:
            raise InputError(f"{email}: expected an account in Label Studio, found none")
        names[str(numbers[email.lower()])] = names[email] = name
    return names
