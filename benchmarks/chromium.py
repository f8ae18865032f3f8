"""Pages in a real headless Chromium, where one is installed."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["find_chromium", "layouts", "opening_times", "screenshot"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
"""Forbids scripts; taken out of the copies that are measured by a script."""

_OPENING = """<script>
addEventListener("load", () => {
  document.body.offsetHeight;  // lays the page out
  document.title = JSON.stringify(performance.now());
});
</script>"""

_LAYOUTS = """<!doctype html><title>none</title><script>
addEventListener("load", () => {
  const results = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const inner = frame.contentDocument, root = inner.documentElement;
    const boxes = [...inner.querySelectorAll(".scroll")];
    const cell = inner.querySelector('td.cell a[href^="#cell"]');
    results[frame.width] = {
      overflow: root.scrollWidth - root.clientWidth,
      cut: boxes.filter(b => b.scrollWidth > b.clientWidth + 1).map(b => b.ariaLabel),
      images: inner.images.length,
      shown: [...inner.images].filter(image => image.naturalWidth).length,
      target: Boolean(cell && inner.querySelector(cell.getAttribute("href"))),
    };
  }
  document.title = JSON.stringify(results);
});
</script><body>"""


def find_chromium() -> str | None:
    """Return the path of an installed Chromium."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


def layouts(page: str, widths: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return what a page's layout is at each width: overflow, cut boxes, images that show."""
    text = html.escape(page)
    frames = [f'<iframe width="{width}" height="800" srcdoc="{text}"></iframe>' for width in widths]
    found = json.loads(_title_of(_LAYOUTS + "".join(frames)))
    return {int(width): facts for width, facts in found.items()}


def opening_times(page: str, count: int) -> list[float]:
    """Return the seconds until the page has loaded and is about to be painted, of each try."""
    page = _POLICY.sub("", page).replace("<head>", f"<head>{_OPENING}", 1)
    return [float(_title_of(page)) / 1000 for _ in range(count)]


def screenshot(page: Path, picture: Path, width: int, height: int) -> None:
    """Save the upper part of a page as a PNG file."""
    size = [f"--window-size={width},{height}", "--hide-scrollbars"]
    _run([f"--screenshot={picture}", *size, page.resolve().as_uri()])


def _title_of(page: str) -> str:
    """Return the title that a page gives itself once it is done."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(page)
        found = _run(["--dump-dom", "--timeout=60000", path.as_uri()])
    title = re.search(r"<title>(.*?)</title>", found, re.DOTALL)
    return html.unescape(title[1]) if title else ""


def _run(options: Sequence[str]) -> str:
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium here: install one, as with  apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        command += [f"--user-data-dir={profile}", *options]
        result = subprocess.run(command, capture_output=True, timeout=180, check=True)
    return result.stdout.decode()
