// What a guest in C works with: raw events to read and normalized ones to write, over the packed columns of `wit/`.
// Given with this version of Aurora; leave it as it is.
//
// There is no C library: no stdio, no malloc. Memory comes from `aurora_alloc`, is as large as the site allows, and is
// taken back when the call ends.

#ifndef AURORA_H
#define AURORA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A run of bytes that need not end in a zero.
typedef struct {
    const char *at;
    uint32_t size;
} aurora_text;

// A text of a literal.
#define AURORA(literal) ((aurora_text){"" literal, sizeof(literal) - 1})

// A text for `%.*s`.
#define AURORA_SHOW(text) (int)(text).size, (text).at

typedef enum { AURORA_ALERT, AURORA_STATUS, AURORA_TELEMETRY, AURORA_ATTESTATION } aurora_kind;
typedef enum { AURORA_INFO, AURORA_LOW, AURORA_MEDIUM, AURORA_HIGH, AURORA_CRITICAL } aurora_severity;
typedef enum { AURORA_CPS, AURORA_NETWORK, AURORA_ENDPOINT, AURORA_IDENTITY, AURORA_CLOUD } aurora_category;
typedef enum {
    AURORA_IP,
    AURORA_DOMAIN,
    AURORA_URL,
    AURORA_EMAIL,
    AURORA_HASH_MD5,
    AURORA_HASH_SHA1,
    AURORA_HASH_SHA256,
    AURORA_CVE,
    AURORA_FILE_PATH,
    AURORA_REGISTRY_KEY,
    AURORA_MUTEX,
    AURORA_USER_AGENT
} aurora_observable_type;
typedef enum { AURORA_PUBLIC, AURORA_RESERVED, AURORA_ALLOW_LISTED } aurora_scope;
typedef enum { AURORA_LOG_TRACE, AURORA_LOG_DEBUG, AURORA_LOG_INFO, AURORA_LOG_WARN, AURORA_LOG_ERROR } aurora_level;

// A text that may not be there.
typedef struct {
    uint8_t is_there;
    aurora_text text;
} aurora_maybe;

// Where raw events come from.
typedef struct {
    aurora_text source;
    aurora_text format;
    aurora_maybe topic;
    aurora_maybe device_id;
    aurora_maybe channel;
    aurora_maybe source_ip;
} aurora_context;

typedef struct {
    // The bytes as they came; any bytes at all.
    aurora_text payload;
    // When the host received it, milliseconds since 1970. The guest's only clock.
    int64_t received_ms;
    const aurora_context *context;
} aurora_raw;

// What is left to say of an event when its fields, observables and techniques are written. Empty texts: those of the
// context, or the host's default.
typedef struct {
    aurora_kind kind;
    aurora_severity severity;
    aurora_category category;
    int64_t timestamp_ms;
    aurora_text source;
    aurora_text device_id;
    aurora_text dedup_key;
    aurora_text title;
    aurora_text description;
} aurora_summary;

// --- The guest's own: guest.c has these two. ---

// A batch begins: the place to read settings.
void guest_begin(void);

// Reads one raw event. It must end in one verdict: `aurora_accept` after the events that it gives, or one of the others.
void guest_read(const aurora_raw *raw);

// --- Verdicts ---

void aurora_accept(void);
// Understood, and not worth keeping.
void aurora_drop(aurora_text reason);
// Not understood. The reason reaches a person: say what was expected, and where.
void aurora_reject(aurora_text reason);
// Cannot be decided now; at most 60,000 ms.
void aurora_retry_after(uint32_t milliseconds, aurora_text reason);

// --- An event: any fields, then any observables, then any techniques, then its end. All texts are UTF-8. ---

// Keys are unique within an event.
void aurora_field(aurora_text key, aurora_text value);
// Only what is AURORA_PUBLIC may ever leave the site.
void aurora_observable(aurora_observable_type type, aurora_scope scope, aurora_text value);
// `T1059` or `T1059.001`.
void aurora_technique(aurora_text id);
void aurora_event(const aurora_summary *summary);

// --- What the host offers ---

// A line in the host's log; the site grants it with `log`. A guest that never calls it, or `aurora_fail`, does not need that.
void aurora_log(aurora_level level, aurora_text message);
// The guest's own setting of this name as JSON text, or nothing.
aurora_maybe aurora_setting(aurora_text key);
// The same where it must be a string, decoded. Anything else fails the call.
aurora_maybe aurora_text_setting(aurora_text key);
// Fails the call, and every one until somebody mends the settings. Returns; the batch is not read.
void aurora_invalid_settings(aurora_text why);
// Says in the log what is wrong, and ends the guest. Costs the event that it stumbled over.
_Noreturn void aurora_fail(aurora_text why);

// --- Tools ---

// Never null; not zeroed.
void *aurora_alloc(size_t size);
// %s %.*s %c %u %d %lld %x %% and nothing else.
aurora_text aurora_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool aurora_equal(aurora_text a, aurora_text b);
bool aurora_starts_with(aurora_text text, aurora_text prefix);
// Where `part` begins in `text`, or -1.
int64_t aurora_find(aurora_text text, aurora_text part);
aurora_text aurora_slice(aurora_text text, uint32_t from, uint32_t to);
// Takes the next word of `*text`, which are apart by spaces, tabs and line ends. Empty where there is none.
aurora_text aurora_word(aurora_text *text);
// How many bytes are UTF-8: all of them, or those before the first that is not.
uint32_t aurora_utf8(aurora_text text);
// Whether `address` is an IP address, and what it means outside the site.
bool aurora_scope_of_address(aurora_text address, aurora_scope *scope);
// Milliseconds since 1970 of a time as in RFC 3339.
bool aurora_time(aurora_text text, int64_t *milliseconds);

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);

#endif
