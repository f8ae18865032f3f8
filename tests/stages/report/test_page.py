"""The page: the same bytes for the same run, nothing from elsewhere, and every number it owes."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import resources
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.axes import Axes

from curate.engine import Shard
from curate.errors import Reason, RunError
from curate.manifest import read_manifest
from curate.stages.report import build_report
from curate.stages.report.figures import RATIO_EDGES, frequency_figure
from curate.stages.report.ledger_counts import part_at

MakeRun = Callable[..., Shard]


class Page(HTMLParser):
    """Elements, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = False
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._hidden = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data + " "

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == "img"]


def page_of(shard: Shard) -> str:
    return shard.folder.read("report/index.html").decode()


def test_page_of_same_run_has_same_bytes(make_run: MakeRun) -> None:
    shard = make_run()
    build_report(shard)
    first = dict(shard.outputs)
    build_report(shard)
    assert "report/index.html" in first
    assert shard.outputs == first


def test_page_does_not_depend_on_parts_of_ledger(make_run: MakeRun) -> None:
    one, many = make_run(parts=1, name="one"), make_run(parts=7, name="many")
    build_report(one)
    build_report(many)
    assert page_of(one) == page_of(many)


def test_page_loads_nothing_from_elsewhere(built_run: Shard) -> None:
    shard = built_run
    html = page_of(shard)
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.images())
    assert not re.search(r"url\((?!#)|@import", html)
    assert len(html) < 2_000_000


def test_page_numbers_equal_ledger_and_manifests(built_run: Shard) -> None:
    shard = built_run
    text = Page(page_of(shard)).text
    train, test = (
        read_manifest(f"{shard.folder}/manifest/{split}.parquet") for split in ("train", "test")
    )
    assert f"{len(train) + len(test)} images, chosen from 300 candidates" in text
    mean = round(sum(train.table["pixels"].to_pylist()) / len(train))
    assert re.search(rf"Pixels, mean [\d,]+ {mean:,} [\d,]+ 2,509,509", text)
    assert "12.86" in text and "1.4270 %" in text and "1.143" in text
    assert "re-encoded to PNG" in text


def test_page_funnel_ends_with_kept_images(built_run: Shard) -> None:
    shard = built_run
    text = Page(page_of(shard)).text
    lost = sum(
        int(count)
        for count in re.findall(
            r"\N{MINUS SIGN}(\d+)", text.partition("meaning candidates")[2].partition("What if")[0]
        )
    )
    kept = int(re.search(r"(\d+) images, chosen", text)[1])
    assert lost + kept == 300
    assert f"{Reason.HTTP_404} {Reason.HTTP_404.meaning}" in text


def test_page_funnel_counts_fetched_and_measured_images(make_run: MakeRun) -> None:
    bounded = itertools.count()

    def reject_while_fetching(row: dict[str, object]) -> None:
        # a claim or the head of a file broke a bound: no bytes, no measures
        if row["reason"] == Reason.TOO_SMALL and next(bounded) % 2:
            row.update(dict.fromkeys(("sha256", "tar", "offset", "nbytes", "format")))
            row.update(dict.fromkeys(("width", "height", "pixels", "bpp", "hf_ratio")))
            row["hf_ratio_032"] = None

    shard = make_run(edit=reject_while_fetching)
    build_report(shard)
    ledger = pq.read_table(f"{shard.folder}/ledger", columns=["tar", "hf_ratio"])
    fetched, measured = (len(ledger) - column.null_count for column in ledger.columns)
    text = Page(page_of(shard)).text
    left = dict(
        re.findall(r"(fetch|measure) (?:bytes|images) are [^\N{MINUS SIGN}]*? (\d+)\b", text)
    )
    assert left == {"fetch": str(fetched), "measure": str(measured)}
    assert text.count(f"{Reason.TOO_SMALL} {Reason.TOO_SMALL.meaning} \N{MINUS SIGN}") == 2


@pytest.mark.parametrize("minimum", [0.002, 0.0021737, 0.01])
def test_frequency_bins_part_at_bound_of_filter(minimum: float) -> None:
    edges = part_at(RATIO_EDGES, minimum)
    ratios = minimum * np.array([0.7, 0.9, 0.9999, 1.0, 1.0001, 1.4])
    counts, _ = np.histogram(np.log10(ratios), edges)
    above = edges[:-1] >= np.log10(minimum)
    assert (counts[~above].sum(), counts[above].sum()) == (3, 3)
    kept, _ = np.histogram(np.log10(ratios[3:]), edges)
    with mock.patch.object(Axes, "stairs", autospec=True) as stairs:
        frequency_figure({"measured": counts, "kept": kept}, -2.0, 0.4, minimum, target=False)
    _, shares, drawn = stairs.call_args.args  # of the kept ones
    assert not shares[drawn[:-1] < np.log10(minimum)].any()
    assert shares.sum() == pytest.approx(100)


def test_page_shows_pictures_of_each_category_and_measured_reject(built_run: Shard) -> None:
    html = page_of(built_run)
    shown = Counter(image["alt"].partition(":")[0] for image in Page(html).images())
    kept = read_manifest(f"{built_run.folder}/manifest/train.parquet").table["category"]
    assert set(kept.to_pylist()) <= set(shown)
    galleries = set(re.findall(r'id="reason-(\w+)"', html))
    assert {Reason.TOO_SMALL, Reason.LOW_TEXTURE, Reason.SURPLUS} <= galleries
    assert Reason.HTTP_404 not in galleries  # there are no bytes


def test_page_leaves_out_damaged_picture_with_a_note(make_run: MakeRun) -> None:
    def damage(row: dict[str, object]) -> None:
        if row.get("category"):
            row["offset"] = 0  # a tar header

    shard = make_run(edit=damage)
    build_report(shard)
    html = page_of(shard)
    assert set(re.findall(r'id="reason-(\w+)"', html)) == {Reason.TOO_SMALL, Reason.LOW_TEXTURE}
    assert not re.search(r'id="cell-', html)
    assert re.search(r"\d+ of the images chosen for this page couldn.t be decoded", html)


def test_page_pictures_have_names_measures_and_links(built_run: Shard) -> None:
    page = Page(page_of(built_run))
    alts = [image["alt"] for image in page.images()]
    assert all(re.search(r": \d+\.jpg, [\d,]+\W+[\d,]+ · [\d.]+\sbpp · ", alt) for alt in alts)
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert any(link.startswith("https://host") for link in links)
    assert not any(link.startswith("file:") for link in links)
    assert "photos/holiday" in page.text  # a local file has its folder


def test_page_cells_lead_to_pictures_of_the_page(built_run: Shard) -> None:
    html = page_of(built_run)
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    targets = {link[1:] for link in links if link.startswith("#")}
    assert targets <= set(ids)
    assert any(target.startswith("cell-") for target in targets)


def test_page_lists_every_section_in_its_contents(built_run: Shard) -> None:
    html = page_of(built_run)
    sections = re.findall(r'<h2 id="([\w-]+)">', html)
    listed = re.findall(r'<li><a href="#([\w-]+)">', html)
    assert listed == sections
    assert {"what-if", "categories", "bands", "borderline", "duplicates", "look-alikes"} <= set(
        sections
    )
    assert {"uncertain", "rejected", "sources", "size", "content"} <= set(sections)


def test_page_shows_duplicates_beside_preferred_image(built_run: Shard) -> None:
    clusters = page_of(built_run).split('<div class="cluster shots">')[1:]
    assert clusters
    for cluster in clusters:
        notes = re.findall(r'<span class="note">([^<]*)', cluster.partition("</section>")[0])
        assert notes[0].startswith("preferred")
        assert set(notes[1:]) == {"same hash"}


def test_page_structure_suits_assistive_technology(built_run: Shard) -> None:
    html = page_of(built_run)
    page = Page(html)
    tags = Counter(tag for tag, _ in page.elements)
    assert (tags["main"], tags["nav"], tags["h1"]) == (1, 1, 1)
    assert not re.search(r"<th[^>]*>\s*</th>", html)
    assert all(image["alt"] for image in page.images())
    regions = [attributes for _, attributes in page.elements if attributes.get("role") == "region"]
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)


def test_page_colours_of_text_have_contrast() -> None:
    css = resources.files("curate.stages.report").joinpath("page.css").read_text()
    themes = re.findall(r"--paper: (#\w+);.*?--wash: (#\w+);.*?--accent: (#\w+)", css, re.DOTALL)
    inks = re.findall(r"--ink: (#\w+); --soft: (#\w+)", css)
    assert len(themes) == len(inks) == 3  # light, dark, print
    for (paper, wash, accent), own in zip(themes, inks, strict=True):
        for text in (accent, *own):
            assert _contrast(text, paper) >= 4.5
            assert _contrast(text, wash) >= 4.5


def _contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio of two colours."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    linear = []
    for start in (0, 2, 4):
        value = int(digits[start : start + 2], 16) / 255
        linear.append(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_page_escapes_text_from_the_web(make_run: MakeRun) -> None:
    def attack(row: dict[str, object]) -> None:
        row["host"] = "<script>alert(1)</script>"
        row["licence"] = '"><img src=x onerror=alert(1)>'
        row["url"] = "javascript:alert(1)"

    shard = make_run(edit=attack)
    build_report(shard)
    page = Page(page_of(shard))
    assert "<script>alert(1)</script>" in page.text
    assert "script" not in {tag for tag, _ in page.elements}
    assert all("onerror" not in image for image in page.images())
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert all(link.startswith("#") for link in links)


@pytest.mark.parametrize(
    ("model", "warned"), [("bundled@12345678", True), ("ViT-B-32/laion2b_s34b_b79k", False)]
)
def test_page_warns_of_demo_labeller(make_run: MakeRun, model: str, warned: bool) -> None:
    shard = make_run(model=model)
    build_report(shard)
    assert ("not to be trusted on real photographs" in Page(page_of(shard)).text) is warned


def test_page_of_run_without_kept_images_says_so(make_run: MakeRun) -> None:
    def lose(row: dict[str, object]) -> None:
        for column in [c for c in row if c not in ("id", "url", "host")]:
            row[column] = None
        row["reason"] = Reason.DNS.value

    shard = make_run(edit=lose)
    build_report(shard)
    page = Page(page_of(shard))
    assert "No image was kept of 300 candidates" in page.text
    assert "dns the host name did not resolve \N{MINUS SIGN}300" in page.text
    assert not page.images()


def test_page_of_empty_ledger_is_written(make_run: MakeRun) -> None:
    shard = make_run(rows=0)
    build_report(shard)
    assert "No image was kept of 0 candidates" in Page(page_of(shard)).text


def test_page_of_all_rejected_rows_is_written(make_run: MakeRun) -> None:
    def reject(row: dict[str, object]) -> None:
        if row["reason"] is None:
            row["reason"] = Reason.LOW_BPP.value

    shard = make_run(edit=reject)
    build_report(shard)
    text = Page(page_of(shard)).text
    assert "No image was kept of 300 candidates" in text
    assert "how much of an image is fine detail" in text


def test_page_of_one_category_without_licences_is_written(make_run: MakeRun) -> None:
    def flatten(row: dict[str, object]) -> None:
        row["licence"] = None
        if row.get("hf_ratio") is not None:
            row["hf_ratio"] = row["hf_ratio_032"] = 0.0

    shard = make_run(categories=("Map",), edit=flatten)
    build_report(shard)
    text = Page(page_of(shard)).text
    assert "measured images have no high frequency at all" in text
    assert "Not stated for any candidate." in text


def test_page_without_selection_names_missing_stage(make_run: MakeRun) -> None:
    shard = make_run()
    shard.folder.remove("select/summary.json")
    with pytest.raises(RunError, match=r"no select/summary\.json: run the stage that makes it"):
        build_report(shard)


def test_page_reports_shortage(make_run: MakeRun) -> None:
    shard = make_run(train=10_000)
    build_report(shard)
    text = Page(page_of(shard)).text
    train = len(read_manifest(f"{shard.folder}/manifest/train.parquet"))
    assert f"{train} of 10,000 training images: the pool held no more." in text
    assert re.search(
        r"\d+ of 86 test images: at most 20 % of a sub-category's pool may go there", text
    )
    assert re.search(r"Fewer training images than their share: .*Poster \d+", text)


@pytest.mark.parametrize("bound", [0.0, -1.0])
def test_page_draws_no_line_for_bound_without_effect(bound: float) -> None:
    def figure(minimum: float | None) -> bytes:
        counts = {
            name: np.histogram(np.linspace(-3, -1, 90), RATIO_EDGES)[0]
            for name in ("measured", "kept")
        }
        return repr(frequency_figure(counts, -2.0, 0.4, minimum, target=True)).encode()

    assert figure(bound) == figure(None) != figure(0.004)


def test_page_reports_missing_images_and_needed_candidates(make_run: MakeRun) -> None:
    shard = make_run(rows=300, train=2000)
    build_report(shard)
    page = shard.folder.read("report/index.html").decode()
    with shard.open("select/summary.json") as file:
        summary = json.load(file)
    assert "Images still missing" in page
    for row in summary["shopping"]["categories"]:
        cell = f'<td class="n" data-label="train">{row["train"]:,}</td>'
        assert f'<th scope="row">{row["category"]}</th>{cell}' in page
    assert f"{summary['shape']['train']['ks']:.3f}" in page
    assert "no other choice comes nearer." in page
