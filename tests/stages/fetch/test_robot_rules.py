"""Rules of robots.txt: groups, patterns and precedence of RFC 9309, and a bound on the work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.stages.fetch import robot_rules
from curate.stages.fetch.robot_rules import RuleSet, applicable_names, own_name, select_rules

AGENT = "curate/0.1 (image dataset curation)"


def allows(text: str, path: str = "/plain", agent: str = AGENT) -> bool:
    return RuleSet.of(select_rules(text, applicable_names(agent))).allow(path)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("curate/0.1 (image dataset curation)", "curate"),
        ("MyBot", "mybot"),
        ("MyBot (+https://example.org/bot)", "mybot"),
        ("My-Bot_x/2 Mozilla/5.0", "my-bot_x"),
        ("Mozilla/5.0 (compatible; MyBot/1.0; +https://example.org/bot.html)", "mybot"),
        ("Mozilla/5.0 (compatible; MyBot; bot@example.org)", "mybot"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; MyBot/2.1) x/1", "mybot"),
        (
            "Mozilla/5.0 (Mac) AppleWebKit/605.1 Safari/605.1 (MyBot/0.1; +http://a.b/c)",
            "mybot",
        ),
        ("Mozilla/5.0 (+http://a.b/c) MyBot/1", "mybot"),
        ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0", "mozilla"),
        ("360Bot/1.0", "360bot"),
        ("", ""),
    ],
)
def test_own_name_is_the_product_that_no_browser_has(agent: str, name: str) -> None:
    assert own_name(agent) == name


@pytest.mark.parametrize(
    "line",
    [
        "User-agent: curate",
        "user-AGENT:CURATE",
        "User-agent: curate/0.1",
        "User-agent: Curate 0.1 (all versions)",
        "User-agent: curate*",
        "User-agent: *",
        "User-agent: * # everybody",
        "User-agent:\tcurate",
        "User-agent curate",
        "useragent: curate",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_group_is_for_us(line: str, end: str) -> None:
    assert not allows(end.join([line, "Disallow: /", ""]))


@pytest.mark.parametrize(
    "line", ["User-agent: curator", "User-agent: cur", "User-agent: mycurate", "User-agent: x y"]
)
def test_group_is_for_another_robot(line: str) -> None:
    assert allows(f"{line}\nDisallow: /\n")


def test_group_of_a_name_that_ours_begins_with_counts_before_everybody() -> None:
    text = "User-agent: *\nDisallow: /\n\nUser-agent: my\nDisallow: /a\n\n"
    assert allows(text, agent="my-bot/1.0")
    assert not allows(text, "/a", agent="my-bot/1.0")
    text += "User-agent: my-bot\nDisallow: /b\n"
    assert allows(text, "/a", agent="my-bot/1.0")


def test_groups_of_one_name_are_joined_and_others_separate() -> None:
    text = (
        "Disallow: /before\nUser-agent: curate\nUser-agent: other\nSitemap: /s\nDisallow: /a\n"
        "User-agent: other\nDisallow: /b\n\nUser-agent: curate/2\nDisallow: /c\n"
        "User-agent: *\nDisallow: /\n"
    )
    found = [path for path in ("/before", "/a", "/b", "/c", "/d") if not allows(text, path)]
    assert found == ["/a", "/c"]


def test_group_of_ours_without_rules_allows_everything() -> None:
    assert allows("User-agent: *\nDisallow: /\nUser-agent: curate\nDisallow:\n")


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("Disallow: /fish", "/fish.jpg", False),
        ("Disallow: /fish", "/catfish", True),
        ("Disallow: /fish/", "/fish", True),
        ("Disallow: /*.jpg", "/a/b.jpg?c", False),
        ("Disallow: /*.jpg$", "/a/b.jpg?c", True),
        ("Disallow: /*.jpg$", "/a.jpg/b.jpg", False),
        ("Disallow: /a*b*c", "/a1b2c3", False),
        ("Disallow: /a*b*c", "/a1c2b3", True),
        ("Disallow: *", "/", False),
        ("Disallow: /a$", "/a", False),
        ("Disallow: /a$", "/ab", True),
        ("Disallow: /aa*aa$", "/aaa", True),
        ("Disallow: /a*$", "/abc", False),
        ("Disallow: /\nAllow: /a", "/a", True),
        ("Allow: /a\nDisallow: /a", "/a", True),
        ("Allow: /a\nDisallow: /ab", "/abc", False),
        ("Allow: /*b\nDisallow: /ab", "/abc", True),
        ("Allow: /$\nDisallow: /", "/", True),
        ("Allow: /$\nDisallow: /", "/a", False),
        ("Disallow: images", "/images", True),
        ("Disallow: /a?b=*", "/a?b=c", False),
        ("Disallow: /caf\u00e9", "/caf%C3%A9", False),
        ("Disallow: /caf%c3%a9", "/caf%C3%A9", False),
        ("Disallow: /%61", "/a", False),
        ("Disallow: /a%2fb", "/a/b", True),
        ("Disallow: /a%2A", "/a*b", False),
        ("Disallow: /a%2A", "/ab", True),
        ("Disallow: /a$b", "/a$b", False),
        ("Dissalow: /a # a comment", "/a", False),
    ],
)
def test_longest_rule_counts(rules: str, path: str, allowed: bool) -> None:
    assert allows(f"User-agent: *\n{rules}\n", path) == allowed


PATTERNS = st.text("ab*$/", max_size=8).map("/{}".format)


def reference(pattern: str, path: str) -> bool:
    """Match one character after another, as RFC 9309 describes it."""
    if not pattern or (pattern == "$" and not path):
        return True
    if pattern[0] == "*":
        return any(reference(pattern[1:], path[i:]) for i in range(len(path) + 1))
    is_end = pattern == "$"
    return not is_end and path[:1] == pattern[0] and reference(pattern[1:], path[1:])


@given(st.lists(st.tuples(st.booleans(), PATTERNS), max_size=6), st.text("ab/", max_size=8))
def test_any_rules_decide_as_a_plain_reading_does(rules: list[tuple[bool, str]], end: str) -> None:
    path = f"/{end}"
    applying = [(len(p), allow) for allow, p in rules if reference(p, path)]
    assert RuleSet.of(rules).allow(path) == max(applying, default=(0, True))[1]


def test_work_of_many_agents_and_rules_is_one_pass_over_the_lines() -> None:
    """Rules of other robots are neither kept nor compared with a URL."""
    agents = "".join(f"User-agent: bot{i}\n" for i in range(10_000))
    rules = "".join(f"Disallow: /{i}*x*y\n" for i in range(10_000))
    ours = select_rules(agents + rules, applicable_names("bot/1.0"))
    assert len(ours) == 10_000  # once, though RFC 9309 has no digits in names: all are "bot"
    assert select_rules(agents + rules, applicable_names(AGENT)) == []


def test_plain_rules_are_looked_up_not_compared() -> None:
    rules = RuleSet.of((False, f"/{i:05}") for i in range(50_000))
    assert rules.lengths == [6]
    assert not rules.allow("/01234.jpg")
    assert rules.allow("/x01234.jpg")


def test_wildcards_beyond_the_budget_forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    matches = robot_rules._Wildcard.matches
    monkeypatch.setattr(
        robot_rules._Wildcard,
        "matches",
        lambda rule, path: compared.append(path) or matches(rule, path),
    )
    monkeypatch.setattr(robot_rules, "MAX_COMPARISONS", 10_000)
    hostile = RuleSet.of((False, f"/*{'a' * 100}b{i:05}") for i in range(1000))
    assert not hostile.allow("/" + "a" * 49)
    # 106 characters of a piece, 50 of the path
    assert len(compared) == 10_000 // (106 * 50)
    assert RuleSet.of([(False, "/*b")]).allow("/" + "a" * 49)
