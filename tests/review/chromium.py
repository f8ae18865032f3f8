"""Chromium without a window, driven over its own protocol by aiohttp, which is there anyway."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DEADLINE = 60.0
"""Seconds within which the browser must answer, however busy the machine is."""


class Tab:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self.events: list[dict[str, Any]] = []

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads(await self._socket.receive_str(timeout=DEADLINE))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        result = await self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def wait(self, condition: str) -> Any:
        """Wait until an expression in the page is true, and return its value."""
        async with asyncio.timeout(DEADLINE):
            while not (value := await self.evaluate(condition)):
                await asyncio.sleep(0.05)
            return value

    async def press(self, key: str) -> None:
        """Press and release a key."""
        code = f"Key{key.upper()}" if len(key) == 1 else key
        text = {"text": key} if len(key) == 1 else {}
        await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=code, **text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=code)


@contextmanager
def chromium(profile: Path) -> Iterator[str]:
    """Start the browser, and give the address of its first page's protocol."""
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    options += ["--disable-background-networking", "--remote-debugging-port=0"]
    command = [CHROMIUM, *options, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "DevTools listening on " in line:
                    yield line.split("DevTools listening on ")[1].strip()
                    break
        finally:
            process.kill()


@contextmanager
def opened(address: str, url: str) -> Iterator[Any]:
    """Return a function that runs a coroutine function on a tab with the page opened."""

    async def run(work: Any) -> Any:
        port = address.split(":")[2].split("/")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = await answer.json(content_type=None)
            target = next(page for page in pages if page["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Network", "Log"):
                    await tab.send(f"{domain}.enable")
                await tab.send("Page.navigate", url=url)
                return await work(tab)

    yield lambda work: asyncio.run(run(work))
