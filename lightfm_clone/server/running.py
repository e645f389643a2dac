"""Uvicorn, and what is said when it starts."""

from __future__ import annotations

import copy
import ipaddress
from contextlib import suppress
from typing import Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from lightfm_clone._checks import is_integer
from lightfm_clone.server import create_app
from lightfm_clone.server.kept import log
from lightfm_clone.typing import Path

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def run(path: Path, host: str, port: int, **options: Any) -> None:
    """See `lightfm_clone.server.serve`."""
    if not isinstance(host, str) or not host:
        raise ValueError(f"host must be an address such as '127.0.0.1', got {host!r}")
    if not is_integer(port) or not 0 <= port < 1 << 16:
        raise ValueError(f"port must be a whole number from 0 to 65535, got {port!r}")
    is_open = options["token"] is None
    hosts = None
    if is_loopback(host):
        # A page elsewhere, whose name leads here, could ask what only this machine may.
        hosts = (*_LOOPBACK, host) if is_open else None
    logging = copy.deepcopy(LOGGING_CONFIG)
    logging["loggers"][log.name] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    config = uvicorn.Config(
        create_app(path, hosts=hosts, **options),
        host=host,
        port=port,
        log_config=logging,
        access_log=False,  # metrics tell the same
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    if hosts is None and is_open:
        log.warning(
            "listening on %s without a token: whoever reaches this address can read all that is "
            "served; set a token",
            host,
        )
    try:
        with suppress(KeyboardInterrupt):  # which comes again when all is answered
            uvicorn.Server(config).run()
    except SystemExit as ended:  # uvicorn has logged why
        raise OSError(
            f"cannot listen on {host}:{port}, as said above; if something else does, take another "
            "port, or 0 for any that is free"
        ) from ended


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
