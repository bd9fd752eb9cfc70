// The component's outside: a batch in, an answer out, as the Component Model's canonical ABI lays them out.

#include "aurora.h"

#define IMPORT(interface, name) __attribute__((import_module(interface), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define NORMALIZE "aurora:normalizer/normalize@0.1.0#normalize"

IMPORT("aurora:event/log@0.1.0", "write") extern void host_log(uint32_t level, const char *at, uint32_t size);
IMPORT("aurora:event/settings@0.1.0", "get") extern void host_get(const char *at, uint32_t size, aurora_maybe *into);

// --- Memory: one run of it, given back as a whole when the host has read the answer. ---

#define PAGE 65536u
#define MOST UINT32_MAX

extern uint8_t __heap_base;
static uintptr_t used;

static void *take(uint64_t size, uint32_t align) {
    if (used == 0) used = (uintptr_t)&__heap_base;
    uint64_t from = ((uint64_t)used + align - 1) / align * align, to = from + size;
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
    if (to > MOST) __builtin_trap();
    if (to > have && __builtin_wasm_memory_grow(0, (size_t)((to - have + PAGE - 1) / PAGE)) == (size_t)-1) {
        __builtin_trap();
    }
    used = (uintptr_t)to;
    return (void *)(uintptr_t)from;
}

void *aurora_alloc(size_t size) { return take(size, 16); }

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    void *fresh = take(size, align == 0 ? 1 : (uint32_t)align);
    if (old_size != 0) memcpy(fresh, old, old_size < size ? old_size : size);
    return fresh;
}

EXPORT("cabi_post_" NORMALIZE) void done(void *answer) {
    (void)answer;
    used = 0;
}

// --- The answer ---

// A list as it crosses, and how many it has room for.
typedef struct {
    void *at;
    uint32_t count;
} list;

typedef struct {
    list list;
    uint32_t room;
} column;

static struct {
    column disposition, count, reasons, retry_after_ms;
    column kind, severity, category, timestamp_ms, fields, observables, techniques;
    column observable_type, observable_scope, ends, text;
} out;

// How many pieces the event that is being written has, and how many events its raw event gave.
static struct {
    uint32_t fields, observables, techniques, events, verdicts;
} now;

static struct {
    bool is;
    aurora_text why;
} invalid;

enum { ACCEPTED, DROPPED, RETRY_AFTER, REJECTED };

static void *room(column *column, uint32_t more, uint32_t size) {
    uint64_t wanted = (uint64_t)column->list.count + more;
    if (wanted > column->room) {
        uint64_t larger = wanted * 2 < 64 ? 64 : wanted * 2;
        void *fresh = take(larger * size, 8);
        if (column->list.count != 0) memcpy(fresh, column->list.at, (size_t)column->list.count * size);
        column->list.at = fresh;
        column->room = (uint32_t)larger;
    }
    void *at = (uint8_t *)column->list.at + (size_t)column->list.count * size;
    column->list.count = (uint32_t)wanted;
    return at;
}

#define PUSH(column, type, value) (*(type *)room(&(column), 1, sizeof(type)) = (type)(value))

static void piece(aurora_text text) {
    if (text.size != 0) memcpy(room(&out.text, text.size, 1), text.at, text.size);
    PUSH(out.ends, uint32_t, out.text.list.count);
}

void aurora_field(aurora_text key, aurora_text value) {
    if (now.observables != 0 || now.techniques != 0) aurora_fail(AURORA("a field after observables or techniques"));
    piece(key);
    piece(value);
    now.fields++;
}

void aurora_observable(aurora_observable_type type, aurora_scope scope, aurora_text value) {
    if (now.techniques != 0) aurora_fail(AURORA("an observable after techniques"));
    PUSH(out.observable_type, uint8_t, type);
    PUSH(out.observable_scope, uint8_t, scope);
    piece(value);
    now.observables++;
}

void aurora_technique(aurora_text id) {
    piece(id);
    now.techniques++;
}

void aurora_event(const aurora_summary *summary) {
    piece(summary->source);
    piece(summary->device_id);
    piece(summary->dedup_key);
    piece(summary->title);
    piece(summary->description);
    PUSH(out.kind, uint8_t, summary->kind);
    PUSH(out.severity, uint8_t, summary->severity);
    PUSH(out.category, uint8_t, summary->category);
    PUSH(out.timestamp_ms, int64_t, summary->timestamp_ms);
    PUSH(out.fields, uint32_t, now.fields);
    PUSH(out.observables, uint32_t, now.observables);
    PUSH(out.techniques, uint32_t, now.techniques);
    now.fields = now.observables = now.techniques = 0;
    now.events++;
}

static void verdict(uint8_t disposition, uint32_t events) {
    if (now.fields + now.observables + now.techniques != 0) aurora_fail(AURORA("a verdict before the end of an event"));
    if (now.events != events) aurora_fail(AURORA("only an accepted raw event has events, and it has at least one"));
    PUSH(out.disposition, uint8_t, disposition);
    PUSH(out.count, uint32_t, events);
    now.events = 0;
    now.verdicts++;
}

static void verdict_because(uint8_t disposition, aurora_text reason) {
    verdict(disposition, 0);
    *(aurora_text *)room(&out.reasons, 1, sizeof reason) = reason;
}

void aurora_accept(void) {
    if (now.events == 0) aurora_fail(AURORA("accepted without an event; aurora_drop is for that"));
    verdict(ACCEPTED, now.events);
}

void aurora_drop(aurora_text reason) { verdict_because(DROPPED, reason); }

void aurora_reject(aurora_text reason) { verdict_because(REJECTED, reason); }

void aurora_retry_after(uint32_t milliseconds, aurora_text reason) {
    verdict_because(RETRY_AFTER, reason);
    PUSH(out.retry_after_ms, uint32_t, milliseconds);
}

// --- The host ---

void aurora_log(aurora_level level, aurora_text message) { host_log(level, message.at, message.size); }

aurora_maybe aurora_setting(aurora_text key) {
    aurora_maybe value = {0};
    host_get(key.at, key.size, &value);
    return value;
}

void aurora_invalid_settings(aurora_text why) {
    if (!invalid.is) invalid.why = why;
    invalid.is = true;
}

_Noreturn void aurora_fail(aurora_text why) {
    aurora_log(AURORA_LOG_ERROR, why);
    __builtin_trap();
}

// --- The call ---

// result<normalized, failure>
typedef struct {
    uint8_t failed;
    union {
        struct {
            list disposition, count, reasons, retry_after_ms;
            list kind, severity, category, timestamp_ms, fields, observables, techniques;
            list observable_type, observable_scope, ends, text;
        } normalized;
        struct {
            uint8_t which;
            aurora_text why;
        } failure;
    };
} answer;

EXPORT(NORMALIZE)
answer *normalize(const aurora_context *contexts, uint32_t contexts_count, const uint32_t *context,
                  uint32_t context_count, const int64_t *received_ms, uint32_t received_count, const uint32_t *ends,
                  uint32_t count, const char *payload, uint32_t payload_size) {
    // The host has seen to it that all columns are as long as the batch.
    (void)contexts_count, (void)context_count, (void)received_count, (void)payload_size;
    memset(&out, 0, sizeof out);
    memset(&now, 0, sizeof now);
    memset(&invalid, 0, sizeof invalid);
    answer *done = aurora_alloc(sizeof *done);
    memset(done, 0, sizeof *done);

    guest_begin();
    if (invalid.is) {
        done->failed = 1;
        done->failure.why = invalid.why;
        return done;
    }
    uint32_t begin = 0;
    for (uint32_t i = 0; i < count; i++) {
        aurora_raw raw = {{payload + begin, ends[i] - begin}, received_ms[i], &contexts[context[i]]};
        begin = ends[i];
        guest_read(&raw);
        if (now.verdicts != i + 1) aurora_fail(AURORA("guest_read must give one verdict on each raw event"));
    }
#define ANSWER(name) done->normalized.name = out.name.list
    ANSWER(disposition), ANSWER(count), ANSWER(reasons), ANSWER(retry_after_ms);
    ANSWER(kind), ANSWER(severity), ANSWER(category), ANSWER(timestamp_ms), ANSWER(fields), ANSWER(observables);
    ANSWER(techniques), ANSWER(observable_type), ANSWER(observable_scope), ANSWER(ends), ANSWER(text);
    return done;
}
