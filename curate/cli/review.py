"""`curate review`: judge images by eye, in a local web app."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from curate.humanize import counted

__all__ = ["review"]


def review(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Run folder, manifest, or folder of images.")
    ],
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Reviewer's name; by default the user's here."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Another one draws other images near the bounds.")] = 0,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Judge images by eye in a local web app; `select` heeds the verdicts."""
    from curate.review.collection import open_collection
    from curate.review.review_session import Review
    from curate.review.server import serve

    collection = open_collection(source)
    with Review(collection, by or _user(), seed) as session, serve(session, port) as (url, run):
        unknown = session.unknown
        if unknown:
            subject = counted(len(unknown), "earlier verdict")
            print(f"{subject} passed over, on no image of {source}: {', '.join(unknown[:3])}")
        print(f"reviewing {source} at {url}")
        print("Ctrl-C ends; every verdict is on disk once it shows", flush=True)
        if open_browser:
            import webbrowser

            webbrowser.open(url)
        run()
        given = counted(session.verdicts.count, "verdict")
        print(f"\n{given} given, in {collection.sidecar}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"
