"""Connections of aiohttp whose responses pass through a `ResponseCleaner`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

from curate.stages.fetch.http_framing import ResponseCleaner

__all__ = ["LenientConnector", "MalformedBody"]


class MalformedBody(aiohttp.ClientPayloadError):
    """Body whose framing can't be understood."""


class LenientConnector(aiohttp.TCPConnector):
    """Connector of such connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: Callable[..., ResponseHandler] = _LenientHandler
        self._factory = partial(handler, loop=self._loop)


class _LenientHandler(ResponseHandler):
    """Protocol of one connection."""

    _cleaner: ResponseCleaner | None = None

    def set_response_params(self, **params: Any) -> None:
        self._cleaner = ResponseCleaner()  # a new response begins
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if self._cleaner is None or not data:  # before the request, or a call of aiohttp's own
            super().data_received(data)
            return
        if clean := self._cleaner.feed(data):
            super().data_received(clean)
        if fault := self._cleaner.fault:
            if self._payload is not None:
                self._payload.set_exception(MalformedBody(str(fault)))
            self.set_exception(HttpProcessingError(code=400, message=str(fault)))
        if (fault or self._cleaner.has_excess) and self.transport is not None:
            self.transport.close()
