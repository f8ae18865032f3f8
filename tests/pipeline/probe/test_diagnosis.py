import pytest

from curate.errors import Reason
from curate.pipeline.probe.diagnosis import Diagnosis, Evidence, diagnose
from tests.pipeline.probe.probed_rows import RECIPE, evidence, group


def names(shown: Evidence) -> list[str]:
    return [diagnosis.name for diagnosis in diagnose(shown)]


def only(shown: Evidence) -> Diagnosis:
    """The one thing that is wrong: a sentence, without a full stop."""
    (found,) = diagnose(shown)
    assert "\n" not in found.text
    assert not found.text.endswith(".")
    return found


def test_diagnosis_of_ordinary_list_is_empty() -> None:
    ends = [
        group(60),
        group(20, Reason.TOO_SMALL),
        group(20, Reason.HTTP_404),
        group(10, Reason.DNS),
    ]
    assert diagnose(evidence(*ends, group(5, Reason.NOT_IMAGE, content_type="text/html"))) == ()


def test_diagnosis_at_papers_yield_is_empty() -> None:
    small, flat = group(1150, Reason.TOO_SMALL), group(500, Reason.LOW_TEXTURE)
    ends = [group(112), small, flat, group(238, Reason.HTTP_404)]
    assert diagnose(evidence(*ends, listed=10**6)) == ()


def test_diagnosis_without_any_dns_answer_names_dns() -> None:
    found = only(
        evidence(group(100, Reason.DNS), group(2), group(9, Reason.DNS, host="again.test"))
    )
    assert found.name == "dns"
    assert found.text.startswith(
        "101 of 101 host names did not resolve: this machine's name server does not answer"
    )
    assert "`getent hosts again.test`" in found.text


def test_diagnosis_of_one_missing_host_does_not_blame_dns() -> None:
    found = only(evidence(group(20, Reason.DNS, host="gone.test")))
    assert found.name == "host_down"
    assert found.text.startswith(
        "gone.test gives no answer to 20 of the sample's 20 (20 dns), and has 100 % of the list"
    )


def test_diagnosis_of_malformed_responses_does_not_call_the_host_down() -> None:
    found = only(evidence(group(20, Reason.BAD_RESPONSE, host="odd.test"), group(20)))
    assert found.name == "host_malformed"
    assert found.text.startswith("odd.test gives no proper answer to 20 of the sample's 20")
    assert "scheme and port" in found.text


def test_diagnosis_without_connections_names_network() -> None:
    found = only(
        evidence(
            group(30, Reason.CONNECT, attempts=2), group(10, Reason.TIMEOUT), group(5, Reason.DNS)
        )
    )
    assert found.name == "no_network"
    assert (
        "none of 45 candidates on 30 hosts got an answer (30 connect, 10 timeout, 5 dns)"
        in found.text
    )
    # one answer, if only a refusal, and there is a network
    shown = evidence(group(30, Reason.CONNECT), group(1, Reason.HTTP_404))
    assert "no_network" not in names(shown)


def test_diagnosis_of_tls_failures_names_certificates() -> None:
    broken = group(30, Reason.TLS, detail="certificate has expired")
    found = only(evidence(broken, group(20)))
    assert found.name == "tls"
    assert "could not be verified for 30 of 50 candidates on 30 hosts" in found.text
    assert "it says 2031-01-02 03:04 UTC" in found.text
    assert found.text.endswith("most often with: certificate has expired")
    assert diagnose(evidence(group(5, Reason.TLS), group(45))) == ()


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (Reason.HTTP_4XX, "see whether it wants to know who asks (fetch.user_agent)"),
        (Reason.HTTP_429, "ask more slowly, with a lower fetch.per_host_rate"),
        (Reason.ROBOTS, "its owner does not want it"),
        (Reason.OPTED_OUT, "its owner does not want it"),
    ],
)
def test_diagnosis_of_refusing_host_names_it(reason: Reason, advice: str) -> None:
    found = only(evidence(group(60), group(38, reason, host="no.test"), group(2, host="no.test")))
    assert found.name == "host_refuses"
    begin = f"no.test refuses 38 of the sample's 40 (38 {reason}), and has 40 % of the list: "
    assert found.text.startswith(begin)
    assert advice in found.text
    assert (
        diagnose(evidence(group(60), group(20, reason, host="no.test"), group(20, host="no.test")))
        == ()
    )


def test_diagnosis_of_refusing_host_leaves_others_unexplained() -> None:
    gone = group(150, Reason.HTTP_4XX)
    assert names(evidence(gone, group(20, Reason.HTTP_4XX, host="no.test"), group(30))) == [
        "dominant_reason",
        "host_refuses",
    ]


def test_diagnosis_of_host_that_is_down_names_it() -> None:
    found = only(
        evidence(
            group(60),
            group(30, Reason.HTTP_5XX, host="ill.test"),
            group(10, Reason.CONNECT, host="ill.test"),
        )
    )
    assert found.name == "host_down"
    assert (
        "ill.test gives no answer to 40 of the sample's 40 (30 http_5xx, 10 connect)" in found.text
    )


def test_diagnosis_of_many_hosts_names_only_largest() -> None:
    refusing = [group(20 + n, Reason.ROBOTS, host=f"no{n}.test") for n in range(5)]
    found = diagnose(evidence(group(200), *refusing))
    assert [diagnosis.text.split()[0] for diagnosis in found] == [
        "no4.test",
        "no3.test",
        "no2.test",
    ]


def test_diagnosis_of_html_answers_names_them() -> None:
    pages = group(60, Reason.NOT_IMAGE, content_type="text/html; charset=utf-8")
    found = only(evidence(pages, group(40), group(10, Reason.HTTP_404, http_status=404)))
    assert found.name == "web_pages"
    assert found.text.startswith("60 of 100 answers are web pages")
    begins = rb"begins with b'\r\n <!doctype htm'".decode()
    lying = group(60, Reason.NOT_IMAGE, content_type="image/jpeg", detail=begins)
    assert names(evidence(lying, group(40))) == ["web_pages"]
    other = evidence(group(60, Reason.NOT_IMAGE, content_type="application/pdf"), group(40))
    assert names(other) == ["dominant_reason"]


def test_diagnosis_of_small_images_suggests_previews() -> None:
    shrunken, small = group(60, Reason.SMALLER_THAN_CLAIMED), group(10, Reason.TOO_SMALL)
    found = only(evidence(shrunken, small, group(40)))
    assert found.name == "thumbnails"
    assert (
        "70 of 110 images are too small, 60 of them not half of what the list claims" in found.text
    )
    assert "the list points at previews" in found.text
    assert names(evidence(group(90, Reason.TOO_SMALL), group(20))) == ["thumbnails"]
    # what the list itself says to be small was never looked at
    claimed = group(90, Reason.TOO_SMALL, attempts=0, http_status=None)
    assert names(evidence(claimed, group(20))) == ["dominant_reason"]


def test_diagnosis_of_frequent_reason_names_it() -> None:
    found = only(evidence(group(85, Reason.LOW_TEXTURE), group(15)))
    assert found.name == "dominant_reason"
    assert found.text.startswith(
        "low_texture takes 85 of 100 candidates (85 %; less fine texture than"
    )
    assert found.text.endswith("a bound is too tight (filters.min.hf_ratio_032=0.005)")
    stale = only(evidence(group(70, Reason.HTTP_404, http_status=404), group(30)))
    assert stale.text.endswith("the list is stale, so look for a newer one")


@pytest.mark.parametrize(
    "reason", [reason for reason in Reason if reason.stage in ("candidates", "fetch", "measure")]
)
def test_diagnosis_of_any_frequent_reason_has_advice(reason: Reason) -> None:
    lost = group(90, reason, host="one.test", attempts=None if reason.stage == "candidates" else 1)
    for row, number in zip(lost, range(90), strict=True):
        row["host"] = f"host{number}.test"
    assert reason in {
        name for diagnosis in diagnose(evidence(lost, group(10))) for name in diagnosis.explains
    }


def test_diagnosis_of_default_user_agent_asks_for_contact() -> None:
    silent = RECIPE.override(["fetch.user_agent=curate/0.1 (image dataset curation)"])
    found = only(evidence(group(20), recipe=silent))
    assert found.name == "no_contact"
    assert (
        "'curate/0.1 (image dataset curation)' (fetch.user_agent) names no way to reach you"
        in found.text
    )
    for agent in (
        "bot (+https://example.org/bot)",
        "bot someone@example.org",
        "bot www.example.org",
    ):
        assert (
            diagnose(evidence(group(20), recipe=RECIPE.override([f"fetch.user_agent={agent}"])))
            == ()
        )
    assert diagnose(evidence(group(20, local=True, attempts=0), recipe=silent)) == ()


def test_diagnosis_of_slow_host_reports_weeks() -> None:
    polite = RECIPE.override(["fetch.per_host_rate=2"])
    hosts = {"large.test": 4_000_000, "host0.test": 6_000_000 // 10}
    found = only(evidence(group(100), listed=10_000_000, hosts=hosts, recipe=polite))
    assert found.name == "slow_host"
    assert found.text.startswith(
        "large.test alone takes 23 days, whatever the machine: 4,000,000 of the list's URLs"
    )
    assert "fetch.per_host_rate of 2 holds" in found.text
    at_once = evidence(group(100, seconds=3.0), listed=10_000_000, hosts=hosts)
    assert "fetch.per_host of 8 holds" in next(
        d.text for d in diagnose(at_once) if d.name == "slow_host"
    )


def test_diagnosis_of_sorted_list_suggests_shuffling() -> None:
    hosts = {f"host{n}.test": 10_000 for n in range(100)}
    polite = RECIPE.override(["fetch.per_host_rate=10"])
    found = only(evidence(group(100), listed=1_000_000, hosts=hosts, crowd=990_000, recipe=polite))
    assert found.name == "sorted_list"
    assert "99 % of its candidates are on the host that has most of their shard" in found.text
    assert "waiting for 28 hours where" in found.text
    assert (
        diagnose(evidence(group(100), listed=1_000_000, hosts=hosts, crowd=15_000, recipe=polite))
        == ()
    )


def test_diagnosis_of_dominant_host_names_its_share() -> None:
    hosts = {"large.test": 700, "other.test": 300}
    found = only(evidence(group(100), listed=1000, hosts=hosts))
    assert found.name == "one_host"
    assert found.text.startswith("700 of all 1,000 candidates (70 %) are on large.test")
    assert (
        diagnose(evidence(group(100), listed=1000, hosts={"a.test": 400, "b.test": 600 // 2})) == ()
    )


def test_diagnosis_with_small_disk_names_space() -> None:
    found = only(
        evidence(group(100, nbytes=2 * 10**6), listed=1_000_000, hosts={}, free=15 * 10**11)
    )
    assert found.name == "disk"
    assert found.text.startswith("the run would keep about 2 TB, and its disk has 1.5 TB free")
    assert (
        diagnose(evidence(group(100, nbytes=2 * 10**6), listed=1_000_000, hosts={}, free=None))
        == ()
    )


def test_diagnosis_of_tiny_sample_says_so() -> None:
    few = [group(3), group(40, Reason.TOO_SMALL), group(57, Reason.HTTP_404, http_status=404)]
    found = diagnose(evidence(*few, listed=10**6))[-1]
    assert found.name == "too_few"
    assert found.text.startswith(
        "only 3 of 100 pass, which may mean 1 % of the list or 8.5 %: draw more, with --sample 2000"
    )
    assert "too_few" not in names(evidence(*few))  # it is the whole list


def test_diagnosis_without_any_answer_is_never_empty() -> None:
    ends = [group(3, Reason.HTTP_404, http_status=404), group(2, Reason.EMPTY)]
    found = only(evidence(*ends, listed=5))
    assert found.name == "no_image"
    assert "of 5 candidates 3 http_404, 2 empty" in found.text
    # once, where another sentence says it
    assert names(evidence(group(50, Reason.HTTP_404, http_status=404), listed=10**6)) == [
        "dominant_reason"
    ]


def test_diagnosis_without_any_answer_draws_no_other_conclusion() -> None:
    silent = RECIPE.override(["fetch.user_agent=curate"])
    shown = evidence(group(50, Reason.DNS), listed=1000, hosts={"large.test": 900}, recipe=silent)
    assert names(shown) == ["dns", "no_contact"]
