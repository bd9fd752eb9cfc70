"""{{name}}: raw events of one device in, normalized events out.

What stands here is an example to be replaced: lines of `key=value`, as in `cases/`.
"""

import json
import re

from aurora.sdk import Drop, Event, Rejected, normalizer, scope_of_address, text, text_setting, time_of

SEVERITY = {"alarm": "high", "warning": "medium"}


def begin():
    # From `[guests.normalize.options]` of the site's configuration, or `[options]` of a case.
    vendor = text_setting("vendor") or "Acme"

    def read(raw):
        line = text(raw.payload)
        if line.startswith("#"):
            return Drop("a comment")
        pairs, message = parse(line, len(raw.payload))
        src = pairs.get("src", "")
        scope = scope_of_address(src)
        return Event(
            title=message,
            description=f"{vendor} device reports: {message}",
            severity=SEVERITY.get(pairs.get("level"), "low"),
            category="network",
            # There is no clock: the event's own time, else that of its receipt.
            timestamp_ms=time_of(pairs.get("time")),
            device_id=pairs.get("device", ""),
            fields=pairs,
            # Only what is public may ever leave the site.
            observables=[("ip", scope, src)] if scope else [],
        )

    return read


def parse(line, length):
    """`level=… src=… msg=…`; `msg` is the rest of the line."""
    head, found, message = line.partition("msg=")
    if not found:
        # A reason reaches a person: say what was expected, and where.
        raise Rejected(f"expected msg= before the end, at byte {length}")
    pairs = {}
    for pair in re.findall(r"[^ \t\n\f\r]+", head):
        key, equals, value = pair.partition("=")
        if not equals:
            raise Rejected(f"expected key=value, found {json.dumps(pair, ensure_ascii=False)}")
        # The keys of an event are unique.
        pairs.setdefault(key, value)
    return pairs, message


Normalize = normalizer(begin)
