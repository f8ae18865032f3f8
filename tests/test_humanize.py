import pytest

from curate.humanize import bands, counted, distinct, number, size, span


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5612, "0.56"), (5.612, "5.6"), (9.96, "10"), (56.12, "56"), (5612.3, "5,612")],
)
def test_number_has_thousands_separators(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (999.9, "1 kB"),
        (1.5e6, "1.5 MB"),
        (310e9, "310 GB"),
        (2.5e16, "25,000 TB"),
    ],
)
def test_size_has_three_digits_and_unit(nbytes: float, text: str) -> None:
    assert size(nbytes) == text


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0.4 / 3600, "0.4 seconds"),
        (89 / 3600, "89 seconds"),
        (0.05, "3 minutes"),
        (7.5, "7.5 hours"),
        (47, "47 hours"),
        (60, "2.5 days"),
        (48_000, "2,000 days"),
    ],
)
def test_span_has_readable_unit(hours: float, text: str) -> None:
    assert span(hours) == text


def test_counted_has_singular_and_plural() -> None:
    assert [counted(n, "image") for n in (0, 1, 2000)] == ["0 images", "1 image", "2,000 images"]
    assert counted(2, "copy", "copies") == "2 copies"


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([], []),
        ([0.16], ["0.16"]),
        ([0.0123, 0.02], ["0.012", "0.02"]),
        ([0.16, 0.1604], ["0.16", "0.1604"]),
        ([0.16, 0.16], ["0.16", "0.16"]),
    ],
)
def test_distinct_tells_unequal_neighbours_apart(values: list[float], texts: list[str]) -> None:
    assert distinct(values) == texts


@pytest.mark.parametrize(
    ("band", "text"),
    [
        ((0.012, 0.02, 3000), "3,000 at 0.012 to 0.02"),
        ((0.16, 0.1604, 3), "3 at 0.16 to 0.1604"),
        ((0.16, 0.16, 3), "3 at 0.16"),
        ((None, 0.01, 1), "1 under 0.01"),
        ((0.03, None, 4), "4 over 0.03"),
        ((None, None, 2), "2 of any"),
    ],
)
def test_band_says_how_many_images_are_where(
    band: tuple[float | None, float | None, int], text: str
) -> None:
    assert bands([band]) == text
