"""babelens serve: a model over HTTP."""

from typing import Annotated

import typer


def serve(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_DIR", envvar="BABELENS_MODEL", help="A model folder, or the id of one on the hub."
        ),
    ],
    host: Annotated[str, typer.Option(envvar="BABELENS_HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, envvar="BABELENS_PORT", help="0: any that is free.")] = 8000,
    device: Annotated[
        str | None, typer.Option(envvar="BABELENS_DEVICE", help="cpu, cuda, cuda:1 [default: the best there is].")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, envvar="BABELENS_THREADS", help="Threads of the model [default: torch's choice]."),
    ] = None,
    requests: Annotated[
        int, typer.Option(min=1, envvar="BABELENS_REQUESTS", help="Requests taken at once; more are answered 429.")
    ] = 128,
    words: Annotated[
        int, typer.Option(min=1, envvar="BABELENS_WORDS", help="Words taken at once; more are answered 429.")
    ] = 65_536,
    batch_rows: Annotated[
        int, typer.Option(min=1, envvar="BABELENS_BATCH_ROWS", help="Rows of a batch, at most.")
    ] = 64,
    batch_words: Annotated[
        int, typer.Option(min=1, envvar="BABELENS_BATCH_WORDS", help="Words of a batch, padding included, at most.")
    ] = 4_096,
    wait: Annotated[
        float, typer.Option(min=0, max=1000, envvar="BABELENS_WAIT", help="Milliseconds that a row waits for company.")
    ] = 3.0,
    deadline: Annotated[
        float, typer.Option(min=0.001, envvar="BABELENS_DEADLINE", help="Seconds for a request that names none.")
    ] = 10.0,
    decoders: Annotated[int, typer.Option(min=1, envvar="BABELENS_DECODERS", help="Processes that open pictures.")] = 2,
    decode_memory: Annotated[
        int, typer.Option(min=64, envvar="BABELENS_DECODE_MEMORY", help="MiB that opening a picture may take.")
    ] = 512,
    rows: Annotated[int, typer.Option(min=1, envvar="BABELENS_ROWS", help="Rows of a request, at most.")] = 64,
    characters: Annotated[
        int, typer.Option(min=1, envvar="BABELENS_CHARACTERS", help="Characters of a text, at most.")
    ] = 100_000,
    body: Annotated[float, typer.Option(min=0.001, envvar="BABELENS_BODY", help="MiB of a request, at most.")] = 16,
    token_file: Annotated[
        str | None,
        typer.Option(
            help="A file with the token that requests must bear; or the variable BABELENS_TOKEN [default: none]."
        ),
    ] = None,
    allow_image_urls: Annotated[
        str | None,
        typer.Option(
            metavar="HOSTS",
            envvar="BABELENS_ALLOW_IMAGE_URLS",
            help="Hosts that pictures are fetched from: example.org,*.example.com or * [default: none].",
        ),
    ] = None,
    drain_wait: Annotated[
        float,
        typer.Option(min=0, envvar="BABELENS_DRAIN_WAIT", help="Seconds after SIGTERM in which it still takes on."),
    ] = 0.0,
    drain_limit: Annotated[
        float,
        typer.Option(min=0, envvar="BABELENS_DRAIN_LIMIT", help="Seconds after SIGTERM until it ends in any case."),
    ] = 30.0,
    log: Annotated[
        bool, typer.Option(envvar="BABELENS_LOG", help="A line of sizes and times for each request.")
    ] = True,
    log_texts: Annotated[
        bool, typer.Option(envvar="BABELENS_LOG_TEXTS", help="These lines also hold the texts that were sent.")
    ] = False,
) -> None:
    """Answer over HTTP: POST /v1/predict, GET /v1/model, /livez, /readyz, /metrics, /openapi.json.

    Ends on SIGTERM or Ctrl-C, once all that was taken is answered. Every option is also a variable BABELENS_NAME.
    """
    from babelens.schema import InputError
    from babelens.serving.fetching import check_hosts
    from babelens.serving.settings import Flow, Limits, Settings, read_token

    try:
        from babelens.serving.server import serve as run
    except ImportError as error:
        raise InputError(f"expected the extra serve (pip install 'babelens[serve]'), found no {error.name}") from error

    hosts = tuple(filter(None, (entry.strip() for entry in (allow_image_urls or "").split(","))))
    try:
        check_hosts(hosts)
    except ValueError as error:
        raise InputError(f"--allow-image-urls: {error}") from None
    settings = Settings(
        model,
        host,
        port,
        device,
        threads,
        read_token(token_file),
        hosts,
        log or log_texts,
        log_texts,
        drain_wait,
        drain_limit,
        Limits(
            body=int(body * (1 << 20)),
            rows=rows,
            characters=characters,
            decode_memory=decode_memory << 20,
            deadline=deadline,
            longest_deadline=max(deadline, Limits().longest_deadline),
        ),
        Flow(requests, words, batch_rows, batch_words, wait / 1000, decoders),
    )
    if code := run(settings):
        raise typer.Exit(code)
