"""A Ray cluster: one that is there, or one of this machine's cores for as long as it is needed."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from babelens.prediction.cluster_disk import ClusterError
from babelens.schema import InputError

_AHEAD = 2

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Cluster:
    """How much of which cluster: so many actors, each a process with a model, and the cores and GPUs of each.

    `address` is that of a cluster ("auto" is the one on this machine; HOST:PORT). Without one, and without RAY_ADDRESS,
    a cluster of this machine is started and ended. `gpus` may be a part of one: 0.25 lets four actors share it.

    Raises:
        ClusterError: a number is too small.
    """

    actors: int = 1
    cpus: int = 1
    gpus: float = 0.0
    address: str | None = None

    def __post_init__(self) -> None:
        if self.actors < 1:
            raise ClusterError(f"actors: expected 1 or more, found {self.actors}")
        if self.cpus < 1:
            raise ClusterError(f"cpus of an actor: expected 1 or more, found {self.cpus}")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ClusterError(f"gpus of an actor: expected a part of one, or a whole number, found {self.gpus}")

    @property
    def device(self) -> str | None:
        """Where a model is put: the processor, but for an actor that has a GPU the best there is."""
        return None if self.gpus else "cpu"


def load_ray() -> Any:
    """The modules `ray` and `ray.data`, which are not there for those who need no cluster.

    Raises:
        ClusterError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray tells of each actor that may be restarted that its arguments may be lost; what matters is raised.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import_module("ray.data")
    except ImportError as error:
        raise ClusterError(
            f"expected Ray for --engine ray, found that it is not installed ({error}); pip install 'babelens[cluster]'"
        ) from error
    return import_module("ray")


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Connect to the cluster, or start one; what was connected before stays so.

    Nothing is reported to Ray's makers unless RAY_USAGE_STATS_ENABLED says so.

    Raises:
        ClusterError: Ray is not installed, there is no such cluster, or this machine has too little for its actors.
    """
    ray = load_ray()
    if ray.is_initialized():
        yield
        return
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    settings: dict[str, Any] = {"address": address, "logging_level": logging.ERROR, "log_to_driver": False}
    if address == "local":
        cores = max(os.cpu_count() or 1, cluster.actors * cluster.cpus)
        settings |= {"num_cpus": cores, "include_dashboard": False}
    try:
        ray.init(**settings)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterError(f"{address}: expected a Ray cluster, found none: {str(error).splitlines()[0]}") from error
    try:
        found = ray.cluster_resources().get("GPU", 0)
        if address == "local" and found < cluster.gpus * cluster.actors:
            raise ClusterError(
                f"expected {cluster.gpus * cluster.actors:g} GPUs for {cluster.actors} actors, found {found:g} here"
            )
        yield
    finally:
        ray.shutdown()


def map_in_order(
    make: Callable[[], Callable[[Given], Made]], given: Iterable[Given], cluster: Cluster
) -> Iterator[Made]:
    """What actors make of things, in the order of the things; `make` is called once in each actor.

    No more things are taken than two for each actor. An actor whose process ends is started anew, and what it was about
    is done again.

    Raises:
        InputError: what an actor raised of that kind, as it is.
        ClusterError: see `connected`.
    """
    ray = load_ray()
    with connected(cluster):
        remote = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_restarts=-1, max_task_retries=-1)
        actors = [remote(_Maker).remote(make) for _ in range(cluster.actors)]
        waiting: deque[Any] = deque()
        try:
            for number, one in enumerate(given):
                waiting.append(actors[number % len(actors)].make.remote(one))
                if len(waiting) >= _AHEAD * len(actors):
                    yield ray.get(waiting.popleft())
            while waiting:
                yield ray.get(waiting.popleft())
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise error.cause from None
            raise
        finally:
            for actor in actors:
                ray.kill(actor)


class _Maker:
    """What runs in an actor."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._start = make
        self._make: Callable[[Any], Any] | None = None

    def make(self, given: Any) -> Any:
        """Make something, with what is made once: here, so that its errors come out as they are."""
        self._make = self._make or self._start()
        return self._make(given)
