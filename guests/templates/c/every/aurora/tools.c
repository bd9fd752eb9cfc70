// Text, times and addresses, for there is no C library.

#include <stdarg.h>

#include "aurora.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size) { return __builtin_memcpy(to, from, size); }

void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }

void *memset(void *to, int byte, size_t size) { return __builtin_memset(to, byte, size); }

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *left = a, *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i]) return left[i] - right[i];
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t size = 0;
    while (text[size] != 0) size++;
    return size;
}

bool aurora_equal(aurora_text a, aurora_text b) { return a.size == b.size && memcmp(a.at, b.at, a.size) == 0; }

bool aurora_starts_with(aurora_text text, aurora_text prefix) {
    return text.size >= prefix.size && memcmp(text.at, prefix.at, prefix.size) == 0;
}

int64_t aurora_find(aurora_text text, aurora_text part) {
    for (uint32_t at = 0; at + (uint64_t)part.size <= text.size; at++) {
        if (memcmp(text.at + at, part.at, part.size) == 0) return at;
    }
    return -1;
}

aurora_text aurora_slice(aurora_text text, uint32_t from, uint32_t to) {
    if (from > to || to > text.size) aurora_fail(AURORA("a slice that is not within its text"));
    return (aurora_text){text.at + from, to - from};
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; }

aurora_text aurora_word(aurora_text *text) {
    uint32_t from = 0;
    while (from < text->size && is_space(text->at[from])) from++;
    uint32_t to = from;
    while (to < text->size && !is_space(text->at[to])) to++;
    aurora_text word = aurora_slice(*text, from, to);
    *text = aurora_slice(*text, to, text->size);
    return word;
}

// --- A text out of parts ---

typedef struct {
    char *at;
    uint32_t size, room;
} builder;

static void append(builder *to, const char *at, size_t size) {
    if ((uint64_t)to->size + size > to->room) {
        to->room = (to->size + (uint32_t)size) * 2 + 64;
        char *fresh = aurora_alloc(to->room);
        if (to->size != 0) memcpy(fresh, to->at, to->size);
        to->at = fresh;
    }
    if (size != 0) memcpy(to->at + to->size, at, size);
    to->size += (uint32_t)size;
}

static void append_number(builder *to, uint64_t number, uint32_t base) {
    char digits[20];
    uint32_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    append(to, digits + at, sizeof digits - at);
}

static void append_signed(builder *to, int64_t number) {
    if (number < 0) append(to, "-", 1);
    append_number(to, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10);
}

aurora_text aurora_format(const char *format, ...) {
    builder to = {0};
    va_list arguments;
    va_start(arguments, format);
    for (const char *at = format; *at != 0; at++) {
        if (*at != '%') {
            append(&to, at, 1);
            continue;
        }
        aurora_text rest = {at + 1, (uint32_t)strlen(at + 1)};
        if (aurora_starts_with(rest, AURORA(".*s"))) {
            int size = va_arg(arguments, int);
            append(&to, va_arg(arguments, const char *), size < 0 ? 0 : (size_t)size);
            at += 3;
        } else if (aurora_starts_with(rest, AURORA("lld"))) {
            append_signed(&to, va_arg(arguments, long long));
            at += 3;
        } else {
            switch (*++at) {
            case 's': {
                const char *text = va_arg(arguments, const char *);
                append(&to, text, strlen(text));
                break;
            }
            case 'c': {
                char c = (char)va_arg(arguments, int);
                append(&to, &c, 1);
                break;
            }
            case 'u': append_number(&to, va_arg(arguments, unsigned), 10); break;
            case 'x': append_number(&to, va_arg(arguments, unsigned), 16); break;
            case 'd': append_signed(&to, va_arg(arguments, int)); break;
            case '%': append(&to, "%", 1); break;
            default: aurora_fail(AURORA("aurora_format knows %s %.*s %c %u %d %lld %x %% only"));
            }
        }
    }
    va_end(arguments);
    return (aurora_text){to.at, to.size};
}

// --- UTF-8, without overlong forms, surrogates, or what lies beyond U+10FFFF ---

uint32_t aurora_utf8(aurora_text text) {
    const uint8_t *bytes = (const uint8_t *)text.at;
    uint32_t at = 0;
    while (at < text.size) {
        uint8_t first = bytes[at], low = 0x80, high = 0xbf;
        uint32_t more;
        if (first < 0x80) {
            at++;
            continue;
        } else if (first >= 0xc2 && first <= 0xdf) {
            more = 1;
        } else if (first >= 0xe0 && first <= 0xef) {
            more = 2;
            if (first == 0xe0) low = 0xa0;
            if (first == 0xed) high = 0x9f;
        } else if (first >= 0xf0 && first <= 0xf4) {
            more = 3;
            if (first == 0xf0) low = 0x90;
            if (first == 0xf4) high = 0x8f;
        } else {
            return at;
        }
        if (text.size - at <= more || bytes[at + 1] < low || bytes[at + 1] > high) return at;
        for (uint32_t i = 2; i <= more; i++) {
            if ((bytes[at + i] & 0xc0) != 0x80) return at;
        }
        at += more + 1;
    }
    return at;
}

static void append_character(builder *to, uint32_t c) {
    char bytes[4] = {(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 63)), (char)(0x80 | (c >> 6 & 63)),
                     (char)(0x80 | (c & 63))};
    if (c < 0x80) {
        bytes[3] = (char)c;
        append(to, bytes + 3, 1);
    } else if (c < 0x800) {
        bytes[2] = (char)(0xc0 | c >> 6);
        append(to, bytes + 2, 2);
    } else if (c < 0x10000) {
        bytes[1] = (char)(0xe0 | c >> 12);
        append(to, bytes + 1, 3);
    } else {
        append(to, bytes, 4);
    }
}

// --- Numbers ---

// Takes `count` digits of `base`; false if there are fewer.
static bool number(aurora_text *text, uint32_t count, uint32_t base, uint32_t *value) {
    if (text->size < count) return false;
    *value = 0;
    for (uint32_t i = 0; i < count; i++) {
        char c = text->at[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : base;
        if (digit >= base) return false;
        *value = *value * base + digit;
    }
    *text = aurora_slice(*text, count, text->size);
    return true;
}

static uint32_t digits(aurora_text text, uint32_t base) {
    uint32_t count = 0, ignored;
    while (count < text.size) {
        aurora_text one = aurora_slice(text, count, count + 1);
        if (!number(&one, 1, base, &ignored)) break;
        count++;
    }
    return count;
}

static bool skip(aurora_text *text, const char *one_of) {
    if (text->size == 0) return false;
    for (; *one_of != 0; one_of++) {
        if (*one_of == text->at[0]) {
            *text = aurora_slice(*text, 1, text->size);
            return true;
        }
    }
    return false;
}

// --- Settings ---

aurora_maybe aurora_text_setting(aurora_text key) {
    aurora_maybe none = {0}, json = aurora_setting(key);
    if (!json.is_there) return none;
    aurora_text rest = json.text;
    if (rest.size < 2 || !skip(&rest, "\"")) {
        aurora_invalid_settings(aurora_format("option %.*s: expected a string", AURORA_SHOW(key)));
        return none;
    }
    builder to = {0};
    // The host writes valid JSON, so what stands here is what a string may hold.
    while (rest.size > 1) {
        char c = rest.at[0];
        rest = aurora_slice(rest, 1, rest.size);
        if (c != '\\') {
            append(&to, &c, 1);
            continue;
        }
        char escaped = rest.at[0];
        rest = aurora_slice(rest, 1, rest.size);
        uint32_t unit, low;
        switch (escaped) {
        case 'b': append(&to, "\b", 1); break;
        case 'f': append(&to, "\f", 1); break;
        case 'n': append(&to, "\n", 1); break;
        case 'r': append(&to, "\r", 1); break;
        case 't': append(&to, "\t", 1); break;
        case 'u':
            if (!number(&rest, 4, 16, &unit)) unit = 0xfffd;
            if (unit >= 0xd800 && unit < 0xdc00 && skip(&rest, "\\") && skip(&rest, "u") && number(&rest, 4, 16, &low)) {
                unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            }
            append_character(&to, unit);
            break;
        default: append(&to, &escaped, 1);
        }
    }
    return (aurora_maybe){1, {to.at, to.size}};
}

// --- Times ---

// Of a day in the Gregorian calendar, counted from 1 January 1970.
static int64_t day(int64_t year, uint32_t month, uint32_t day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool aurora_time(aurora_text text, int64_t *milliseconds) {
    uint32_t year, month, of_month, hour, minute, second, fraction = 0, hours = 0, minutes = 0;
    bool date = number(&text, 4, 10, &year) && skip(&text, "-") && number(&text, 2, 10, &month) && skip(&text, "-") &&
                number(&text, 2, 10, &of_month) && skip(&text, "Tt ");
    if (!date || !number(&text, 2, 10, &hour) || !skip(&text, ":") || !number(&text, 2, 10, &minute) ||
        !skip(&text, ":") || !number(&text, 2, 10, &second)) {
        return false;
    }
    if (skip(&text, ".")) {
        uint32_t count = digits(text, 10);
        if (count == 0) return false;
        for (uint32_t i = 0, digit; i < 3; i++) {
            fraction = fraction * 10 + (i < count && number(&text, 1, 10, &digit) ? digit : 0);
        }
        if (count > 3) text = aurora_slice(text, count - 3, text.size);
    }
    int64_t sign = text.size != 0 && text.at[0] == '-' ? -1 : 1;
    if (!skip(&text, "Zz") &&
        !(skip(&text, "+-") && number(&text, 2, 10, &hours) && skip(&text, ":") && number(&text, 2, 10, &minutes))) {
        return false;
    }
    static const uint8_t LENGTH[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 60 || hours > 23 || minutes > 59) return false;
    bool leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (text.size != 0 || of_month < 1 || of_month > LENGTH[month - 1] + (uint32_t)leap) return false;
    int64_t offset = sign * (int64_t)(hours * 60 + minutes);
    int64_t seconds = day(year, month, of_month) * 86400 + ((int64_t)(hour * 60 + minute) - offset) * 60 + second;
    *milliseconds = seconds * 1000 + fraction;
    return true;
}

// --- Addresses, by the IANA special-purpose registries: nothing in these ranges means the same thing at two sites. ---

static bool dotted(aurora_text text, uint32_t parts[4]) {
    for (int i = 0; i < 4; i++) {
        if (i != 0 && !skip(&text, ".")) return false;
        uint32_t count = digits(text, 10);
        // A leading zero is octal to some programs and decimal to others.
        if (count == 0 || count > 3 || (count > 1 && text.at[0] == '0')) return false;
        if (!number(&text, count, 10, &parts[i]) || parts[i] > 255) return false;
    }
    return text.size == 0;
}

static bool reserved4(uint32_t a, uint32_t b, uint32_t c) {
    return a == 0 || a == 10 || a == 127 || a >= 224 || (a == 100 && b >= 64 && b < 128) || (a == 169 && b == 254) ||
           (a == 172 && b >= 16 && b < 32) ||
           (a == 192 && ((b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99) || b == 168)) ||
           (a == 198 && (b == 18 || b == 19 || (b == 51 && c == 100))) || (a == 203 && b == 0 && c == 113);
}

static bool groups(aurora_text text, uint32_t group[8]) {
    uint32_t count = 0, gap = 8;
    memset(group, 0, 8 * sizeof *group);
    if (aurora_starts_with(text, AURORA("::"))) {
        gap = 0;
        text = aurora_slice(text, 2, text.size);
    }
    while (text.size != 0) {
        uint32_t parts[4], length = digits(text, 16);
        if (count <= 6 && dotted(text, parts)) {
            group[count++] = parts[0] << 8 | parts[1];
            group[count++] = parts[2] << 8 | parts[3];
            break;
        }
        if (count == 8 || length == 0 || length > 4 || !number(&text, length, 16, &group[count])) return false;
        count++;
        if (text.size == 0) break;
        if (!skip(&text, ":") || text.size == 0) return false;
        if (skip(&text, ":")) {
            if (gap != 8) return false;
            gap = count;
        }
    }
    if (gap == 8) return count == 8;
    if (count == 8) return false;
    // What stood behind the gap moves to the end.
    uint32_t behind = count - gap;
    memmove(group + 8 - behind, group + gap, behind * sizeof *group);
    memset(group + gap, 0, (8 - count) * sizeof *group);
    return true;
}

static bool reserved6(const uint32_t group[8]) {
    bool zeroes = (group[2] | group[3] | group[4]) == 0;
    bool mapped = zeroes && group[0] == 0 && group[1] == 0 && group[5] == 0xffff;
    bool translated = zeroes && group[0] == 0x64 && group[1] == 0xff9b && group[5] == 0;
    // An IPv4 address in IPv6 dress is judged as IPv4.
    if (mapped || translated) return reserved4(group[6] >> 8, group[6] & 255, group[7] >> 8);
    bool part = group[0] == 0x2001 && ((group[1] == 2 && group[2] == 0) || group[1] == 0xdb8 || (group[1] & 0xffe0) == 0x20);
    return group[0] == 0 || group[0] == 0x64 || group[0] == 0x100 || part ||
           (group[0] == 0x3fff && group[1] < 0x1000) || group[0] >= 0xfc00;
}

bool aurora_scope_of_address(aurora_text address, aurora_scope *scope) {
    uint32_t parts[4], group[8];
    bool reserved;
    if (dotted(address, parts)) {
        reserved = reserved4(parts[0], parts[1], parts[2]);
    } else if (groups(address, group)) {
        reserved = reserved6(group);
    } else {
        return false;
    }
    *scope = reserved ? AURORA_RESERVED : AURORA_PUBLIC;
    return true;
}
