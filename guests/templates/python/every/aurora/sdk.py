"""What a guest in Python works with: raw events to read and normalized ones to write, over the packed columns of `wit/`.

Given with this version of Aurora; leave it as it is.
"""

import ipaddress
import json
import re
import traceback
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from componentize_py_types import Err
from wit_world.exports import normalize as exports
from wit_world.imports import log as host_log
from wit_world.imports import settings as host_settings
from wit_world.imports import types


def log(level, message):
    """A line in the host's log; level is trace, debug, info, warn or error. The site grants it with `log`."""
    host_log.write(host_log.Level[level.upper()], message)


def setting(key):
    """The guest's own setting of this name, out of `[guests.<stage>.options]`; None where it is not set."""
    value = host_settings.get(key)
    return None if value is None else json.loads(value)


def text_setting(key):
    """The same where it must be a string: what is wrong with settings is said once, and not on each event."""
    value = setting(key)
    if value is not None and not isinstance(value, str):
        raise InvalidSettings(f"option {key}: expected a string")
    return value


class InvalidSettings(Exception):
    """To be raised where the settings are wrong: every call fails until somebody mends them."""


class Rejected(Exception):
    """To be raised while an event is read: it is rejected with this reason. Say what was expected, and where."""


@dataclass
class Drop:
    """The verdict on an event that is understood, and not worth keeping."""

    reason: str


@dataclass
class RetryAfter:
    """The verdict on an event that cannot be decided now."""

    milliseconds: int
    reason: str


@dataclass
class Raw:
    """A raw event."""

    payload: bytes
    received_ms: int
    # source, format, topic, device_id, channel, source_ip
    context: types.Context


@dataclass
class Event:
    """A normalized event. Words are spelled as in the event's JSON: severity `high`, observable type `hash_md5`."""

    title: str
    description: str = ""
    severity: str = "medium"
    category: str = "network"
    kind: str = "alert"
    # None: that of the receipt.
    timestamp_ms: int | None = None
    # Empty: those of the context.
    source: str = ""
    device_id: str = ""
    dedup_key: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    # (type, scope, value)
    observables: list[tuple[str, str, str]] = field(default_factory=list)
    techniques: list[str] = field(default_factory=list)


def text(payload):
    """The payload as text."""
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected(f"expected UTF-8 at byte {error.start}") from None


# Of the IANA special-purpose registries: nothing in them means the same thing at two sites.
_RESERVED = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3 "
        "::/16 64::/16 100::/16 2001:2::/48 2001:20::/27 2001:db8::/32 3fff::/20 fc00::/6"
    ).split()
]


def scope_of_address(value):
    """Whether an address, as text, means anything outside the site: public or reserved. None where it is none."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    if address.version == 6:
        if address.scope_id is not None:
            return None
        # An IPv4 address in IPv6 dress is judged as IPv4.
        if int(address) >> 32 in (0xFFFF, 0x64FF9B << 64):
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return "reserved" if any(address in network for network in _RESERVED) else "public"


_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def time_of(value):
    """Milliseconds since 1970 of a time as in RFC 3339, or None."""
    form = _TIME.fullmatch(value or "")
    if form is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in form.group(1, 2, 3, 4, 5, 6))
    hours, minutes = int(form[9] or 0), int(form[10] or 0)
    if hour > 23 or minute > 59 or second > 60 or hours > 23 or minutes > 59:
        return None
    try:
        days = datetime(year, month, day, tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    except ValueError:
        return None
    offset = (hours * 60 + minutes) * (-1 if form[8] == "-" else 1)
    seconds = (hour * 60 + minute - offset) * 60 + second
    return (days // timedelta(days=1) * 86_400 + seconds) * 1000 + int(((form[7] or "") + "000")[:3])


def _words(enum):
    return {member.name.lower(): member for member in enum}


_KIND, _SEVERITY, _CATEGORY = _words(types.Kind), _words(types.Severity), _words(types.Category)
_TYPE, _SCOPE = _words(types.ObservableType), _words(types.Scope)
_SCOPE["allow-listed"] = types.Scope.ALLOW_LISTED


class _Answer:
    """A normalizer's answer, column by column."""

    def __init__(self):
        self.normalized = exports.Normalized(
            [], [], [], [], types.Events([], [], [], [], [], [], [], [], [], [], b"")
        )
        self.text = bytearray()

    def piece(self, value):
        # What is no character on its own cannot cross; it shows as a question mark.
        self.text += str(value or "").encode("utf-8", "replace")
        self.normalized.events.ends.append(len(self.text))

    def verdict(self, disposition, count, reason=None):
        self.normalized.disposition.append(disposition)
        self.normalized.count.append(count)
        if reason is not None:
            self.normalized.reasons.append(str(reason))

    def event(self, event, raw):
        events = self.normalized.events
        for key, value in event.fields.items():
            self.piece(key)
            self.piece(value)
        for kind, scope, value in event.observables:
            events.observable_type.append(_TYPE[kind])
            events.observable_scope.append(_SCOPE[scope])
            self.piece(value)
        for technique in event.techniques:
            self.piece(technique)
        for last in (event.source, event.device_id, event.dedup_key, event.title, event.description):
            self.piece(last)
        events.kind.append(_KIND[event.kind])
        events.severity.append(_SEVERITY[event.severity])
        events.category.append(_CATEGORY[event.category])
        events.timestamp_ms.append(raw.received_ms if event.timestamp_ms is None else int(event.timestamp_ms))
        events.fields.append(len(event.fields))
        events.observables.append(len(event.observables))
        events.techniques.append(len(event.techniques))

    def add(self, verdict, raw):
        match verdict:
            case Drop(reason):
                self.verdict(exports.Disposition.DROPPED, 0, reason)
            case RetryAfter(milliseconds, reason):
                self.verdict(exports.Disposition.RETRY_AFTER, 0, reason)
                self.normalized.retry_after_ms.append(milliseconds)
            case Event():
                self.add([verdict], raw)
            case list():
                for event in verdict:
                    self.event(event, raw)
                self.verdict(exports.Disposition.ACCEPTED, len(verdict))
            case other:
                raise TypeError(f"the reader of an event gave no verdict but {other!r}")

    def finish(self):
        self.normalized.events.text = bytes(self.text)
        return self.normalized


def normalizer(begin):
    """Makes a normalizer of `begin`, which is called once a batch and gives the function that reads one `Raw` event.

    What that returns is the verdict on it: an `Event` or a list of them, a `Drop`, a `RetryAfter`; or it raises
    `Rejected`.
    """

    class Normalize:
        def normalize(self, input):
            try:
                return _normalize(begin(), input)
            except InvalidSettings as error:
                raise Err(types.Failure_InvalidSettings(str(error))) from None
            except Exception as error:
                # Else a fault tells nothing. This is what the guest imports `aurora:event/log` for.
                # Without source lines: there are no files to read them from.
                said = [f"{type(error).__name__}: {error}"]
                for frame, line in traceback.walk_tb(error.__traceback__):
                    said.append(f"{frame.f_code.co_qualname} {frame.f_code.co_filename}:{line}")
                log("error", " / ".join(said[:1] + said[:0:-1][:3]))
                raise Err(types.Failure_Other(f"{type(error).__name__}: {error}")) from None

    return Normalize


def _normalize(read, input):
    answer, begin = _Answer(), 0
    for index, end in enumerate(input.ends):
        context = input.contexts[input.context[index]]
        raw = Raw(bytes(input.payload[begin:end]), input.received_ms[index], context)
        begin = end
        try:
            verdict = read(raw)
        except Rejected as rejected:
            answer.verdict(exports.Disposition.REJECTED, 0, rejected)
            continue
        answer.add(verdict, raw)
    return answer.finish()
