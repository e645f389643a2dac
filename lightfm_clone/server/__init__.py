"""A server of lists, neighbours and reasons out of one file of a `Recommender`, and an explorer.

`serve` runs it; `create_app` gives the ASGI application to a server of your own. Both need the
extra ``serve``: ``pip install "lightfm-clone[serve]"``. What a request may ask is in `calls`, what
is answered in `shop`, where a new file takes the place of an old one in `kept`, and what holds for
all requests (limits, token, time-outs, metrics) in `app`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightfm_clone._extras import needs
from lightfm_clone.typing import Path

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["create_app", "serve"]


def create_app(
    path: Path,
    *,
    token: str | None = None,
    hosts: Sequence[str] | None = None,
    title: str | None = None,
    max_k: int = 200,
    max_people: int = 1000,
    max_body: int = 500_000,
    max_waiting: int = 200,
    timeout: float = 10.0,
    num_threads: int | None = None,
) -> Starlette:
    """The ASGI application: a JSON API, its description, an explorer, health and metrics.

    The file is read now. From the application's start to its end (its lifespan) the path is looked
    at every second, and a file that takes the old one's place is taken up.

    Parameters
    ----------
    path : str or os.PathLike
        A file of `Recommender.save`.
    token : str, optional
        What callers have to send as ``Authorization: Bearer ...``, for all but health and the
        pages, which hold no data. Printable ASCII.
    hosts : sequence of str, optional
        The names that requests may call this server by (their header ``Host``, without a port).
        By default any.
    title : str, optional
        The column of items that names them for people, which the explorer shows and searches. By
        default the column that is called title or name, or ends so.
    max_k : int, default 200
        The longest list.
    max_people : int, default 1000
        The most people in a batch; up to 10,000.
    max_body : int, default 500,000
        The largest body of a request, in bytes.
    max_waiting : int, default 200
        How many requests may wait for their turn. What comes then is told to come again (503).
    timeout : float, default 10
        Seconds in which the body of a request must have arrived and it must be answered, from the
        end of its headers on.
    num_threads : int or None, default None
        How many requests are computed at once, each on one thread. None uses all CPUs.

    Returns
    -------
    starlette.applications.Starlette

    Raises
    ------
    ImportError
        If a package of the extra ``serve`` is missing.
    OSError, ValueError
        If the file cannot be read, or is no recommender.
    ValueError, TypeError
        For bad arguments.
    """
    needs("serve", "a server", "starlette", "pydantic", "prometheus_client")
    from lightfm_clone.server.app import Limits, application
    from lightfm_clone.server.kept import Kept

    limits = Limits(max_k, max_people, max_body, max_waiting, timeout, num_threads, token, hosts)
    return application(Kept(path, title), limits)


def serve(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    title: str | None = None,
    max_k: int = 200,
    max_people: int = 1000,
    max_body: int = 500_000,
    max_waiting: int = 200,
    timeout: float = 10.0,
    num_threads: int | None = None,
) -> None:
    """Serve a file until Ctrl-C or SIGTERM; requests that are under way are answered then.

    Parameters
    ----------
    path : str or os.PathLike
        A file of `Recommender.save`. A new one at this path is taken up.
    host : str, default "127.0.0.1"
        The address to listen on. By default nobody but this machine is answered. Elsewhere without
        a token it warns.
    port : int, default 8000
        0 takes a free one; the log says which.
    token, title, max_k, max_people, max_body, max_waiting, timeout, num_threads
        As in `create_app`.

    Raises
    ------
    ImportError
        If a package of the extra ``serve`` is missing.
    OSError, ValueError, TypeError
        As `create_app`. If nobody may listen there, uvicorn logs it and exits with SystemExit.
    """
    needs("serve", "a server", "starlette", "pydantic", "prometheus_client", "uvicorn")
    from lightfm_clone.server.running import run

    run(
        path,
        host,
        port,
        token=token,
        title=title,
        max_k=max_k,
        max_people=max_people,
        max_body=max_body,
        max_waiting=max_waiting,
        timeout=timeout,
        num_threads=num_threads,
    )
