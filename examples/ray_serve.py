"""The service on a Ray cluster: pip install 'babelens[serve]' 'ray[serve]', then `python examples/ray_serve.py MODEL`.

Each replica is the whole service of `babelens serve`, with its model, limits, queue and page; Ray Serve shares requests
out among them and starts a replica anew that has died. For a cluster that is there, set RAY_ADDRESS.
"""

import os
import sys
import time

from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from babelens.serving.app import build_app
from babelens.serving.model import ModelProcess
from babelens.serving.service import Service
from babelens.serving.settings import Settings, read_token


@serve.deployment(max_ongoing_requests=128)
class Babelens:
    """One replica. The service inside refuses what is too much (429) before Ray's own queue grows."""

    async def __init__(self, settings: Settings) -> None:
        self._service = Service(settings, ModelProcess(settings))
        await self._service.start()
        self._app = build_app(self._service)

    async def __call__(self, request: Request) -> Response:
        """Put a request through the application, and give back what it sends."""
        sent = []

        async def send(message):
            sent.append(message)

        await self._app(request.scope, request.receive, send)
        start = next(message for message in sent if message["type"] == "http.response.start")
        body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
        response = Response(body, start["status"])
        response.raw_headers = list(start["headers"])
        return response

    def __del__(self) -> None:
        self._service.close()


def main(model: str, replicas: int = 2, cpus: float = 1, gpus: float = 0, port: int = 8000) -> None:
    """Serve a model until Ctrl-C, with the page and the paths of `babelens serve`."""
    settings = Settings(
        os.path.abspath(model) if os.path.isdir(model) else model,
        device=None if gpus else "cpu",
        threads=max(1, int(cpus)),
        token=read_token(None),
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to Ray's makers
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    options = {"num_cpus": cpus, "num_gpus": gpus}
    serve.run(Babelens.options(num_replicas=replicas, ray_actor_options=options).bind(settings), name="babelens")
    print(f"serving on http://127.0.0.1:{port}", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        serve.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
