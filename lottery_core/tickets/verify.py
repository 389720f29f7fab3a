"""What is true of an uploaded file: what it claims against what it holds and what the cache holds.

A hash in a file shows that the file has not been damaged or carelessly changed; whoever changes it
on purpose can change the hash as well. Only a level in the cache, computed here, shows more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lottery_core.data import is_prepared
from lottery_core.findings.rewinding import rewinding, snapshot_of
from lottery_core.method.masks import Arrays, apply
from lottery_core.spec.datasets import title_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.keys import VERSION
from lottery_core.store import Level, LevelInfo, Store, StoreUnavailable, counts_of
from lottery_core.tickets.content import PARTS, digest, parts_of
from lottery_core.tickets.incoming import Upload

_TITLES = {"mask": "mask", "restart": "restart weights", "trained": "trained weights"}
_LEVEL = "level in the cache"
_SAME_MASK = "the same mask in the cache"
_RESULTS = "results in the cache"
_HASH = "hash of the "
_REWINDING = "dense network's weights"
_IN_CACHE, _OF_THAT_LEVEL = " in the cache", " of that level"
_UNSAID = "not said"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what the file says or has, what was found to be so, and the
    verdict: "matches", "differs" or "unknown"."""

    what: str
    claimed: str
    found: str
    verdict: str


def verify(upload: Upload, store: Store) -> list[Finding]:
    """Everything that can be said of a file with this cache; reads levels, changes nothing."""
    findings = [
        *_digests(upload),
        *_counts(upload),
        *_shapes(upload),
        *_data(upload, store),
        *_key(upload),
        *_revived(upload),
    ]
    key = upload.claims.get("key") or _key_of(upload.claims)
    level, found = _look_up(store, key)
    if level:
        findings += [*_against(upload, level), *_rewound(upload, store, level)]
    elif key:
        findings.append(Finding(_LEVEL, _named(upload.claims.get("level"), key), found, "unknown"))
    if level is None or not _same(upload.mask, level.mask):
        findings += _search(upload, store)
    return findings


def _look_up(store: Store, key: str | None) -> tuple[Level | None, str]:
    """The level of that key or, in words, why there is none."""
    try:
        level = store.read(key) if key and store.has(key) else None
    except StoreUnavailable:
        return None, "not yours to read"
    return level, "damaged" if key and store.damaged(key) else "not in this cache"


# The file against itself


def _digests(upload: Upload) -> Iterator[Finding]:
    if not upload.claims:
        return
    claimed = upload.claims.get("digests", {})
    for part in PARTS:
        if part in claimed or part in upload.digests:
            said, found = claimed.get(part, _UNSAID), upload.digests.get(part, "not in the file")
            what = _HASH + _TITLES[part]
            yield _finding(what, _short(said), _short(found), said == found)


def _counts(upload: Upload) -> Iterator[Finding]:
    claimed = upload.claims.get("layers", {})
    for name in claimed | upload.mask if claimed else ():
        said, kept = claimed.get(name), upload.mask.get(name)
        yield _finding(
            f"weights kept in {name}",
            f"{said['kept']:,} of {said['weights']:,}" if said else _UNSAID,
            "no such layer" if kept is None else f"{int(kept.sum()):,} of {kept.size:,}",
            None,
        )


def _shapes(upload: Upload) -> Iterator[Finding]:
    claims = upload.claims
    if "experiment" in claims:
        claimed = Experiment.from_dict(claims["experiment"]).recipe.net.sizes
        yield _finding("network", claimed, upload.net.sizes, None)
    elif "network" in claims:
        yield _finding("network", claims["network"]["text"], upload.network, None)


def _data(upload: Upload, store: Store) -> Iterator[Finding]:
    """Files other than the published ones, where the recipe names such."""
    recipe = upload.claims["experiment"]["recipe"] if "experiment" in upload.claims else {}
    if content := recipe.get("content"):
        there = is_prepared(recipe["dataset"], store.datasets, content)
        found = "the same files in the cache" if there else "not in this cache"
        title = title_of(recipe["dataset"], content)
        yield Finding("data set", title, found, "matches" if there else "unknown")


def _key(upload: Upload) -> Iterator[Finding]:
    claims = upload.claims
    if "experiment" not in claims:
        return
    said, found = claims.get("key", _UNSAID), _key_of(claims) or "no such level in its experiment"
    version = claims.get("versions", {}).get("key", VERSION)
    if version != VERSION:  # its keys were made otherwise
        yield Finding("key of its experiment's level", _short(said), _short(found), "unknown")
    else:
        yield _finding("key of its experiment's level", _short(said), _short(found), said == found)


def _key_of(claims: dict) -> str | None:
    """The key of the level that a file says it is; None if its experiment has no such level."""
    if "experiment" not in claims:
        return None
    keys = Experiment.from_dict(claims["experiment"]).keys
    level = claims.get("level", len(keys) - 1)
    return keys[level] if level < len(keys) else None


def _revived(upload: Upload) -> Iterator[Finding]:
    if not upload.claims:  # torch.nn.utils.prune, for one, keeps what it prunes
        return
    for part, count in upload.revived.items():
        found = f"{count:,} are not 0" if count else "all are 0"
        yield _finding(f"pruned {_TITLES[part]}", "all are 0", found, not count)


# The file against the cache


def _against(upload: Upload, level: Level) -> Iterator[Finding]:
    """The level that the file says it is."""
    claims, info = upload.claims, level.info
    same = claims.get("level", info.level) == info.level
    said = _named(claims.get("level"), info.key)
    yield _finding(_LEVEL, said, _named(info.level, info.key), same)
    yield from _parts(upload, level, _IN_CACHE)
    said, known = claims.get("results", {}), info.as_dict()
    if said:
        other = [name for name in said if name not in known or said[name] != known[name]]
        found = f"other: {', '.join(map(str, other[:3]))}" if other else "the same"
        yield _finding(_RESULTS, f"{len(said)} numbers", found, not other)


def _rewound(upload: Upload, store: Store, level: Level) -> Iterator[Finding]:
    """The file's restart weights against the dense network that they should be those of."""
    if upload.restart is None:
        return
    if level.info.explored is not None:
        found = "not to be had: its mask changed while it trained"
        yield Finding(_REWINDING + _IN_CACHE, _UNSAID, found, "unknown")
        return
    known = snapshot_of(store, level)
    if known is None:
        return
    found = rewinding(upload.mask, upload.restart, *known)
    unlike = found.kept_unlike + found.others_unlike + found.pruned_unlike
    yield _finding(
        _REWINDING + _IN_CACHE,
        f"its survivors have those of iteration {found.iteration:,}",
        f"{unlike:,} differ" if unlike else "they have, bit for bit",
        found.holds,
    )


def _parts(upload: Upload, level: Level, where: str) -> Iterator[Finding]:
    has = {"mask": upload.mask, "restart": upload.restart, "trained": upload.trained}
    # A pruned weight may be a negative zero there.
    kept = parts_of(level) | {"trained": apply(level.end, level.mask)}
    for part, arrays in has.items():
        if arrays is not None:
            said, found = digest(arrays), digest(kept[part])
            yield _finding(_TITLES[part] + where, _short(said), _short(found), said == found)


def origin(upload: Upload, store: Store) -> Level | None:
    """The level of the cache with this mask, best one whose restart weights are the file's too;
    where it came from before where it was only trained again. None where there is none."""
    counts = counts_of(upload.mask)
    best = None
    infos = store.infos(store.keys()).values()
    alike = [info for info in infos if info.layers == counts]
    for info in sorted(alike, key=_was_brought):
        level = store.read(info.key)
        if level is None or not _same(upload.mask, level.mask):
            continue
        best = best or level
        if upload.restart is None or _same(upload.restart, parts_of(level)["restart"]):
            best = level
            break
    return best


def _search(upload: Upload, store: Store) -> list[Finding]:
    best = origin(upload, store)
    if best is None:
        return [Finding(_SAME_MASK, _UNSAID, "in no level", "unknown")]
    named = _named(best.info.level, best.info.key)
    _, *weights = _parts(upload, best, _OF_THAT_LEVEL)
    return [Finding(_SAME_MASK, _UNSAID, named, "matches"), *weights]


def _was_brought(info: LevelInfo) -> bool:
    return any(step.get("ticket") for step in info.experiment["rounds"])


def _same(arrays: Arrays, other: Arrays) -> bool:
    return arrays.keys() == other.keys() and all(
        values.dtype == other[name].dtype
        and values.shape == other[name].shape
        and values.tobytes() == other[name].tobytes()
        for name, values in arrays.items()
    )


def _named(level: int | None, key: str) -> str:
    return f"key {key[:12]}" if level is None else f"level {level}, key {key[:12]}"


def _short(text: str) -> str:
    """Of a hash or a key as much as a person compares."""
    return text[:12] if len(text) in (40, 64) else text


def _finding(what: str, claimed: str, found: str, same: bool | None) -> Finding:
    """With `same` None the texts themselves are compared."""
    if claimed == _UNSAID:
        return Finding(what, claimed, found, "unknown")
    same = claimed == found if same is None else same
    return Finding(what, claimed, found, "matches" if same else "differs")


# In words


def verify_in_words(findings: list[Finding]) -> str:
    """One or two sentences for what was found."""
    by = {finding.what: finding for finding in findings}
    level, same_mask = by.get(_LEVEL), by.get(_SAME_MASK)
    differing = [finding for finding in findings if finding.verdict == "differs"]
    other = [finding for finding in differing if finding.what.endswith(_IN_CACHE)]
    changed = [
        finding for finding in differing if not finding.what.endswith((_IN_CACHE, _OF_THAT_LEVEL))
    ]
    whose = ""
    if same_mask and same_mask.verdict == "matches":
        whose = f"The mask is that of {_number(same_mask)} of an experiment in this cache"

    if changed:
        text = _changed(changed)
        if level and level.verdict != "unknown" and not other:
            return f"{text} What it holds is {_number(level)} in this cache, bit for bit."
        return f"{text} {whose}." if whose else text
    if level is None:
        return _unclaimed(whose, by.get(_TITLES["restart"] + _OF_THAT_LEVEL))
    hashes = {finding.verdict for finding in findings if finding.what.startswith(_HASH)}
    intact = hashes == {"matches"}
    if level.verdict == "unknown":
        text = (
            f"The file is as it was written, but its level is {level.found}."
            if intact
            else f"Its level is {level.found}, and the file has no hashes that would show a change."
        )
        return f"{text} {whose}." if whose else text
    if other:
        what = ", ".join(finding.what.removesuffix(_IN_CACHE) for finding in other)
        but = "The file is as it was written, but" if intact else "Under the file's key,"
        return f"{but} {_number(level)} in this cache differs from it: {what}."
    subject = _number(level)
    if _TITLES["restart"] + _IN_CACHE not in by:
        subject = f"the mask of {subject}"
    return f"This is {subject} of an experiment in this cache, bit for bit."


def _changed(changed: list[Finding]) -> str:
    first, *rest = changed
    more = f" and {len(rest)} more" if rest else ""
    return (
        f"The file has been changed; {first.what}: {first.claimed} claimed, "
        f"{first.found} found{more}."
    )


def _unclaimed(whose: str, restart: Finding | None) -> str:
    if not whose:
        return "Nothing in this cache has this mask, and the file does not say whose it is."
    text = f"{whose}, though the file does not say so."
    if restart is None:
        return text
    if restart.verdict == "matches":
        return f"{text} Its restart weights are that level's too, bit for bit."
    return f"{text} Its weights are not those that this level restarts from."


def _number(level: Finding) -> str:
    return level.found.partition(",")[0]
