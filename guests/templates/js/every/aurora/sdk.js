// What a guest in JavaScript works with: raw events to read and normalized ones to write, over the packed columns of
// `wit/`. Given with this version of Aurora; leave it as it is.

import { write as writeLog } from 'aurora:event/log@0.1.0';
import { get as getSetting } from 'aurora:event/settings@0.1.0';

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A line in the host's log; level is trace, debug, info, warn or error. The site grants it with `log`. */
export const log = (level, message) => writeLog(level, message);

/** The guest's own setting of this name, out of `[guests.<stage>.options]`; undefined where it is not set. */
export function setting(key) {
  const json = getSetting(key);
  return json === undefined ? undefined : JSON.parse(json);
}

/** The same where it must be a string: what is wrong with settings is said once, and not on each event. */
export function textSetting(key) {
  const value = setting(key);
  if (value !== undefined && typeof value !== 'string') throw new InvalidSettings(`option ${key}: expected a string`);
  return value;
}

/** To be thrown where the settings are wrong: every call fails until somebody mends them. */
export class InvalidSettings extends Error {}

/** To be thrown while an event is read: it is rejected with this reason. Say what was expected, and where. */
export class Rejected extends Error {}

/** The payload as text. */
export function text(payload) {
  try {
    return strict.decode(payload);
  } catch {
    throw new Rejected(`expected UTF-8 at byte ${validUpTo(payload)}`);
  }
}

function validUpTo(bytes) {
  let [good, bad] = [0, bytes.length];
  // The longest beginning that decodes, where a character that is only cut off does not count as wrong.
  while (good < bad) {
    const middle = (good + bad + 1) >> 1;
    try {
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, middle), { stream: true });
      good = middle;
    } catch {
      bad = middle - 1;
    }
  }
  // What is left over at the end of that is no character either.
  const whole = decoder.decode(bytes.subarray(0, good), { stream: true });
  decoder.decode();
  return encoder.encode(whole).length;
}

/** Whether an address, as text, means anything outside the site: public or reserved. Undefined where it is none. */
export function scopeOfAddress(address) {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address)?.slice(1);
  if (four) {
    // A leading zero is octal to some programs and decimal to others.
    if (four.some((part) => part > 255 || (part.length > 1 && part[0] === '0'))) return undefined;
    return reservedV4(four.map(Number)) ? 'reserved' : 'public';
  }
  const six = groups(address);
  return six && (reservedV6(six) ? 'reserved' : 'public');
}

// Ranges of the IANA special-purpose registries: nothing in them means the same thing at two sites.
function reservedV4([a, b, c]) {
  return (
    [0, 10, 127].includes(a) || a >= 224 ||
    (a === 100 && b >= 64 && b < 128) || (a === 169 && b === 254) || (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && ((b === 0 && (c === 0 || c === 2)) || (b === 88 && c === 99) || b === 168)) ||
    (a === 198 && (b === 18 || b === 19 || (b === 51 && c === 100))) || (a === 203 && b === 0 && c === 113)
  );
}

function reservedV6(six) {
  const last = [six[6] >> 8, six[6] & 255, six[7] >> 8];
  const begins = (...groups) => groups.every((group, index) => six[index] === group);
  // An IPv4 address in IPv6 dress is judged as IPv4.
  if (begins(0, 0, 0, 0, 0, 0xffff) || begins(0x64, 0xff9b, 0, 0, 0, 0)) return reservedV4(last);
  const parts = begins(0x2001, 2, 0) || begins(0x2001, 0xdb8) || (six[0] === 0x2001 && (six[1] & 0xffe0) === 0x20);
  return [0, 0x64, 0x100].includes(six[0]) || parts || (six[0] === 0x3fff && six[1] < 0x1000) || six[0] >= 0xfc00;
}

/** The eight groups of an IPv6 address, or undefined. */
function groups(address) {
  let words = address;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (dotted) {
    const [a, b, c, d] = dotted.slice(2).map(Number);
    if ([a, b, c, d].some((part) => part > 255)) return undefined;
    words = `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const halves = words.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const count = halves.reduce((sum, half) => sum + half.length, 0);
  if (halves.length > 2 || (halves.length === 1 ? count !== 8 : count > 7)) return undefined;
  const all = halves.length === 1 ? halves[0] : [...halves[0], ...Array(8 - count).fill('0'), ...halves[1]];
  return all.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group)) ? all.map((group) => parseInt(group, 16)) : undefined;
}

/** Milliseconds since 1970 of a time as in RFC 3339, or undefined. */
export function timeOf(value) {
  const form = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.exec(value ?? '');
  if (!form) return undefined;
  const [year, month, day, hour, minute, second] = form.slice(1, 7).map(Number);
  const there = new Date(Date.UTC(2000, month - 1, day));
  there.setUTCFullYear(year);
  if (there.getUTCMonth() !== month - 1 || there.getUTCDate() !== day || hour > 23 || minute > 59 || second > 60) {
    return undefined;
  }
  const zone = form[8].length === 1 ? [0, 0] : form[8].slice(1).split(':').map(Number);
  if (zone[0] > 23 || zone[1] > 59) return undefined;
  const offset = (zone[0] * 60 + zone[1]) * (form[8][0] === '-' ? -1 : 1);
  const fraction = Math.trunc(Number(`0${form[7] ?? ''}`) * 1000);
  return there.getTime() + ((hour * 60 + minute - offset) * 60 + second) * 1000 + fraction;
}

/** Of a number of milliseconds, as the 64 bits that the host takes. */
function whole(milliseconds) {
  const [least, most] = [-(2n ** 63n), 2n ** 63n - 1n];
  const exact = BigInt(Math.trunc(milliseconds));
  return exact < least ? least : exact > most ? most : exact;
}

const SEVERITIES = ['info', 'low', 'medium', 'high', 'critical'];
const CATEGORIES = ['cps', 'network', 'endpoint', 'identity', 'cloud'];
const KINDS = ['alert', 'status', 'telemetry', 'attestation'];
const SCOPES = ['public', 'reserved', 'allow-listed'];
const TYPES = [
  'ip', 'domain', 'url', 'email', 'hash-md5', 'hash-sha1', 'hash-sha256', 'cve', 'file-path', 'registry-key', 'mutex',
  'user-agent',
];

/** `value` if it is one of `known`; without this a wrong word would be a trap that tells nothing. */
function oneOf(what, known, value) {
  if (!known.includes(value)) throw new TypeError(`no ${what} ${value}; there are ${known.join(', ')}`);
  return value;
}
const FIRST_ROOM = 4096;

/** A normalizer's answer, column by column. */
class Answer {
  constructor() {
    this.disposition = [];
    this.count = [];
    this.reasons = [];
    this.retryAfterMs = [];
    this.events = {
      kind: [], severity: [], category: [], timestampMs: [], fields: [], observables: [], techniques: [],
      observableType: [], observableScope: [], ends: [], text: undefined,
    };
    this.bytes = new Uint8Array(FIRST_ROOM);
    this.used = 0;
  }

  piece(value) {
    const string = value === undefined || value === null ? '' : String(value);
    // A character of a string takes three bytes at the most.
    if (this.bytes.length - this.used < 3 * string.length) {
      const larger = new Uint8Array(2 * this.bytes.length + 3 * string.length);
      larger.set(this.bytes.subarray(0, this.used));
      this.bytes = larger;
    }
    this.used += encoder.encodeInto(string, this.bytes.subarray(this.used)).written;
    this.events.ends.push(this.used);
  }

  verdict(disposition, count, reason) {
    this.disposition.push(disposition);
    this.count.push(count);
    if (reason !== undefined) this.reasons.push(String(reason));
  }

  event(event, raw) {
    const { events } = this;
    const fields = Object.entries(event.fields ?? {});
    const observables = event.observables ?? [];
    const techniques = event.techniques ?? [];
    for (const [key, value] of fields) {
      this.piece(key);
      this.piece(value);
    }
    for (const { type, scope, value } of observables) {
      events.observableType.push(oneOf('type of an observable', TYPES, type));
      events.observableScope.push(oneOf('scope', SCOPES, scope));
      this.piece(value);
    }
    techniques.forEach((technique) => this.piece(technique));
    this.piece(event.source);
    this.piece(event.deviceId);
    this.piece(event.dedupKey);
    this.piece(event.title);
    this.piece(event.description);
    events.kind.push(oneOf('kind', KINDS, event.kind ?? 'alert'));
    events.severity.push(oneOf('severity', SEVERITIES, event.severity ?? 'medium'));
    events.category.push(oneOf('category', CATEGORIES, event.category ?? 'network'));
    // A number cannot hold every time that the host may give, so that one is handed back as it came.
    const at = event.timestampMs ?? undefined;
    events.timestampMs.push(at === undefined ? raw.received : whole(at));
    events.fields.push(fields.length);
    events.observables.push(observables.length);
    events.techniques.push(techniques.length);
  }

  finish() {
    const { disposition, count, reasons, retryAfterMs, events } = this;
    events.text = this.bytes.subarray(0, this.used);
    return { disposition, count, reasons, retryAfterMs, events };
  }
}

/**
 * Makes a normalizer of `begin`, which is called once a batch and gives the function that reads one raw event,
 * `{ payload, receivedMs, context }`. What that returns is the verdict on it:
 *
 * - an event, or a list of them: accepted. `{ title, description, severity, category, kind, timestampMs, deviceId,
 *   source, dedupKey, fields: {key: value}, observables: [{ type, scope, value }], techniques: ['T1059'] }`
 * - `{ drop: 'reason' }`: understood, and not worth keeping
 * - `{ retryAfterMs: 500, reason }`: cannot be decided now
 * - a thrown `Rejected`: not understood
 */
export function normalizer(begin) {
  return {
    normalize(input) {
      try {
        return normalize(begin(), input);
      } catch (error) {
        if (error instanceof InvalidSettings) throw { tag: 'invalid-settings', val: error.message };
        // Else a fault tells nothing. This is what the guest imports `aurora:event/log` for.
        const frames = String(error?.stack ?? '').split('\n').filter(Boolean).slice(0, 3);
        log('error', [error, ...frames].join(' / '));
        throw { tag: 'other', val: String(error) };
      }
    },
  };
}

function normalize(read, input) {
  const answer = new Answer();
  let begin = 0;
  input.ends.forEach((end, index) => {
    const payload = input.payload.subarray(begin, end);
    const received = input.receivedMs[index];
    const raw = { payload, received, receivedMs: Number(received), context: input.contexts[input.context[index]] };
    begin = end;
    let verdict;
    try {
      verdict = read(raw);
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      answer.verdict('rejected', 0, error.message);
      return;
    }
    if (typeof verdict !== 'object' || verdict === null) throw new TypeError('the reader of an event gave no verdict');
    if (typeof verdict.then === 'function') throw new TypeError('the reader of an event must not be async');
    if (verdict.drop !== undefined) {
      answer.verdict('dropped', 0, verdict.drop);
    } else if (verdict.retryAfterMs !== undefined) {
      answer.verdict('retry-after', 0, verdict.reason ?? '');
      answer.retryAfterMs.push(verdict.retryAfterMs);
    } else {
      const events = Array.isArray(verdict) ? verdict : [verdict];
      events.forEach((event) => answer.event(event, raw));
      answer.verdict('accepted', events.length);
    }
  });
  return answer.finish();
}
