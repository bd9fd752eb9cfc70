// {{name}}: raw events of one device in, normalized events out.
//
// What stands here is an example to be replaced: lines of `key=value`, as in `cases/`.

#include "aurora/aurora.h"

enum { MOST_PAIRS = 64 };

// `level=… src=… msg=…`; `msg` is the rest of the line.
typedef struct {
    aurora_text key[MOST_PAIRS], value[MOST_PAIRS];
    uint32_t count;
} pairs;

static aurora_text vendor;

void guest_begin(void) {
    // From `[guests.normalize.options]` of the site's configuration, or `[options]` of a case.
    aurora_maybe set = aurora_text_setting(AURORA("vendor"));
    vendor = set.is_there ? set.text : AURORA("Acme");
}

static aurora_text value(const pairs *of, aurora_text key) {
    for (uint32_t i = 0; i < of->count; i++) {
        if (aurora_equal(of->key[i], key)) return of->value[i];
    }
    return (aurora_text){0};
}

static aurora_severity severity(aurora_text level) {
    if (aurora_equal(level, AURORA("alarm"))) return AURORA_HIGH;
    if (aurora_equal(level, AURORA("warning"))) return AURORA_MEDIUM;
    return AURORA_LOW;
}

// False if it has given a verdict.
static bool parse(aurora_text head, pairs *into) {
    into->count = 0;
    for (aurora_text pair = aurora_word(&head); pair.size != 0; pair = aurora_word(&head)) {
        int64_t equals = aurora_find(pair, AURORA("="));
        if (equals < 0) {
            aurora_reject(aurora_format("expected key=value, found \"%.*s\"", AURORA_SHOW(pair)));
            return false;
        }
        aurora_text key = aurora_slice(pair, 0, (uint32_t)equals);
        bool known = false;
        for (uint32_t i = 0; i < into->count; i++) known |= aurora_equal(into->key[i], key);
        // The keys of an event are unique.
        if (known) continue;
        if (into->count == MOST_PAIRS) {
            aurora_reject(aurora_format("more than %d pairs", MOST_PAIRS));
            return false;
        }
        into->key[into->count] = key;
        into->value[into->count++] = aurora_slice(pair, (uint32_t)equals + 1, pair.size);
    }
    return true;
}

void guest_read(const aurora_raw *raw) {
    aurora_text line = raw->payload;
    uint32_t good = aurora_utf8(line);
    // A reason reaches a person: say what was expected, and where.
    if (good != line.size) {
        aurora_reject(aurora_format("expected UTF-8 at byte %u", good));
        return;
    }
    if (aurora_starts_with(line, AURORA("#"))) {
        aurora_drop(AURORA("a comment"));
        return;
    }
    int64_t at = aurora_find(line, AURORA("msg="));
    if (at < 0) {
        aurora_reject(aurora_format("expected msg= before the end, at byte %u", line.size));
        return;
    }
    aurora_text message = aurora_slice(line, (uint32_t)at + 4, line.size);
    pairs found;
    if (!parse(aurora_slice(line, 0, (uint32_t)at), &found)) return;

    // Fields first, then observables, then techniques, then the rest.
    for (uint32_t i = 0; i < found.count; i++) aurora_field(found.key[i], found.value[i]);
    aurora_text src = value(&found, AURORA("src"));
    aurora_scope scope;
    // Only what is public may ever leave the site.
    if (aurora_scope_of_address(src, &scope)) aurora_observable(AURORA_IP, scope, src);
    // There is no clock: the event's own time, else that of its receipt.
    int64_t time;
    if (!aurora_time(value(&found, AURORA("time")), &time)) time = raw->received_ms;
    aurora_event(&(aurora_summary){
        .kind = AURORA_ALERT,
        .severity = severity(value(&found, AURORA("level"))),
        .category = AURORA_NETWORK,
        .timestamp_ms = time,
        .device_id = value(&found, AURORA("device")),
        .title = message,
        .description = aurora_format("%.*s device reports: %.*s", AURORA_SHOW(vendor), AURORA_SHOW(message)),
    });
    aurora_accept();
}
