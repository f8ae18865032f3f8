"""Rules of a robots.txt for one robot, by RFC 9309 and as Google's reference parser reads it.

The work is bounded for any text: parsing takes one pass over the lines, and only the robot's own
rules are kept. A URL is looked up among all plain rules by its prefixes; wildcards have a budget.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

__all__ = [
    "MAX_COMPARISONS",
    "RuleSet",
    "applicable_names",
    "own_name",
    "robot_name",
    "select_rules",
]

MAX_COMPARISONS = 100_000_000
"""Comparisons of characters with rules that have wildcards, for one URL: at most 0.1 seconds."""

_FIELDS = {
    **dict.fromkeys(("user-agent", "useragent", "user agent"), "agent"),
    "allow": "allow",
    # misspellings that Google's parser takes
    **dict.fromkeys(
        ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"), "disallow"
    ),
}
_NAME = re.compile(r"[a-z_-]+|[\w-]+", re.ASCII)
"""Product token. RFC 9309 has no digits in it; a name that begins with one keeps them."""
_LINE_END = re.compile(r"\r\n|\r|\n")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_PRINTABLE = "".join(map(chr, range(33, 127)))

# names in browsers' user agents, which crawlers put before or behind their own
_BROWSERS = frozenset(
    {"mozilla", "applewebkit", "khtml", "like", "gecko", "chrome", "chromium", "safari"}
    | {"version", "mobile", "firefox", "edg", "edge", "opr", "opera"}
)
_COMPATIBLE = re.compile(r"compatible;\s*([\w-]+)", re.ASCII | re.IGNORECASE)
_CONTACT = re.compile(r"\+?(?:https?://|www\.|mailto:)[^\s;)]+", re.IGNORECASE)
_PRODUCT = re.compile(r"([A-Za-z0-9_-]+)/")

Rule = tuple[bool, str]
"""Whether it allows, and its normalised path pattern."""


def robot_name(text: str) -> str:
    """Return the product token at the start of a text, in lower case; `*` stands for itself."""
    text = text.strip().lower()
    if text == "*" or text.startswith(("* ", "*\t")):
        return "*"
    match = _NAME.match(text)
    return match[0] if match else ""


def own_name(user_agent: str) -> str:
    """Return the robot's name in a User-Agent header.

    That is its first product, as in `MyBot/1.0`. In a browser's user agent it is the product behind
    "compatible;", or else the first one that no browser has.
    """
    first = robot_name(user_agent)
    if first not in _BROWSERS:
        return first
    if match := _COMPATIBLE.search(user_agent):
        return robot_name(match[1])
    products = map(robot_name, _PRODUCT.findall(_CONTACT.sub("", user_agent)))
    return next((product for product in products if product not in _BROWSERS), first)


def applicable_names(user_agent: str) -> list[str]:
    """Return the names of groups that apply to a robot, the one that counts most first.

    RFC 9309 knows its own name and `*`. Between them, as Google's crawlers do it, come the names
    that it begins with up to a hyphen or underscore: `my-bot-images` heeds `my-bot` and `my`.
    """
    name = own_name(user_agent)
    ends = [match.start() for match in re.finditer(r"(?<=\w)[-_]", name)]
    return [name, *(name[:end] for end in reversed(ends)), "*"]


def select_rules(text: str, names: Iterable[str]) -> list[Rule]:
    """Return the rules of the groups with the first of `names` that a robots.txt has."""
    groups: dict[str, list[Rule]] = {}
    wanted = list(names)
    current: set[str] = set()
    follows_rule = True
    for kind, value in _lines(text):
        if kind == "agent":
            # consecutive agents share the rules behind them
            current = set() if follows_rule else current
            follows_rule = False
            if (name := robot_name(value)) in wanted:
                groups.setdefault(name, [])
                current.add(name)
            continue
        follows_rule = True
        if current and value.startswith(("/", "*")):
            rule = kind == "allow", _normalise(value)
            for name in current:
                groups[name].append(rule)
    return next((groups[name] for name in wanted if name in groups), [])


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and value of each line that has one."""
    for line in _LINE_END.split(text):
        content = line.partition("#")[0]
        name, colon, value = content.partition(":")
        if not colon:  # a common mistake: a blank instead of the colon
            name, value = (*content.split(None, 1), "", "")[:2]
        kind = _FIELDS.get(name.strip().lower())
        if kind is not None:
            yield kind, value.strip()


def _normalise(path: str) -> str:
    """Return a path or pattern with one spelling of each character (RFC 9309, 2.2.2)."""
    return _ESCAPE.sub(_normalise_escape, quote(path, safe=_PRINTABLE))


def _normalise_escape(match: re.Match[str]) -> str:
    character = chr(int(match[0][1:], 16))
    return character if _UNRESERVED.match(character) else match[0].upper()


@dataclass(frozen=True)
class _Wildcard:
    """Rule with wildcards, or with an end."""

    allows: bool
    length: int
    pieces: tuple[str, ...]
    is_anchored: bool
    longest: int

    @classmethod
    def parse(cls, allows: bool, pattern: str) -> _Wildcard:
        is_anchored = pattern.endswith("$")
        body = pattern[: len(pattern) - is_anchored].replace("$", "%24")
        pieces = tuple(body.split("*"))
        return cls(allows, len(pattern), pieces, is_anchored, max(map(len, pieces)))

    def matches(self, path: str) -> bool:
        """Match a path: each piece at its first place behind the one before."""
        first, *others = self.pieces
        if not path.startswith(first):
            return False
        if self.is_anchored and not others:
            return path == first
        end = len(first)
        last = others.pop() if self.is_anchored else ""
        for piece in others:
            start = path.find(piece, end)
            if start < 0:
                return False
            end = start + len(piece)
        return path.endswith(last) and len(path) - len(last) >= end


@dataclass
class RuleSet:
    """Rules, arranged for quick look-ups."""

    plain: dict[str, bool] = field(default_factory=dict)
    """Prefix -> whether it allows; of two equal ones the one that does."""
    lengths: list[int] = field(default_factory=list)
    """Lengths of the prefixes, longest first."""
    wildcards: list[_Wildcard] = field(default_factory=list)
    """Rules with wildcards, in the order in which they count."""

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> RuleSet:
        """Arrange rules."""
        found = cls()
        for allows, pattern in rules:
            if "*" in pattern or pattern.endswith("$"):
                found.wildcards.append(_Wildcard.parse(allows, pattern))
            else:
                pattern = pattern.replace("$", "%24")
                found.plain[pattern] = allows or found.plain.get(pattern, False)
        found.lengths = sorted(set(map(len, found.plain)), reverse=True)
        found.wildcards.sort(key=lambda rule: (rule.length, rule.allows), reverse=True)
        return found

    def allow(self, path: str) -> bool:
        """Return whether a path with its query may be requested: the longest rule counts.

        Rules that would take more than MAX_COMPARISONS forbid: nobody needs them.
        """
        path = _normalise(path).replace("*", "%2A").replace("$", "%24")
        prefixes = (path[:length] for length in self.lengths if length <= len(path))
        prefix = next((prefix for prefix in prefixes if prefix in self.plain), "")
        best = len(prefix), self.plain.get(prefix, True)
        comparisons = 0
        for rule in self.wildcards:
            if (rule.length, rule.allows) <= best:
                break
            comparisons += len(path) * max(rule.longest, 1)
            if comparisons > MAX_COMPARISONS:
                return False
            if rule.matches(path):
                return rule.allows
        return best[1]
