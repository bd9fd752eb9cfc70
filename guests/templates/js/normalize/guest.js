// {{name}}: raw events of one device in, normalized events out.
//
// What stands here is an example to be replaced: lines of `key=value`, as in `cases/`.

import { Rejected, normalizer, scopeOfAddress, text, textSetting, timeOf } from './aurora/sdk.js';

const SEVERITY = { alarm: 'high', warning: 'medium' };

export const normalize = normalizer(() => {
  // From `[guests.normalize.options]` of the site's configuration, or `[options]` of a case.
  const vendor = textSetting('vendor') ?? 'Acme';
  return ({ payload }) => {
    const line = text(payload);
    if (line.startsWith('#')) return { drop: 'a comment' };
    const { pairs, message } = parse(line, payload.length);
    const src = pairs.src;
    const scope = src && scopeOfAddress(src);
    return {
      title: message,
      description: `${vendor} device reports: ${message}`,
      severity: SEVERITY[pairs.level] ?? 'low',
      category: 'network',
      // There is no clock: the event's own time, else that of its receipt.
      timestampMs: timeOf(pairs.time),
      deviceId: pairs.device,
      fields: pairs,
      // Only what is public may ever leave the site.
      observables: scope ? [{ type: 'ip', scope, value: src }] : [],
    };
  };
});

// `level=… src=… msg=…`; `msg` is the rest of the line.
function parse(line, length) {
  const at = line.indexOf('msg=');
  // A reason reaches a person: say what was expected, and where.
  if (at < 0) throw new Rejected(`expected msg= before the end, at byte ${length}`);
  const pairs = Object.create(null);
  for (const pair of line.slice(0, at).split(/[ \t\n\f\r]+/).filter(Boolean)) {
    const equals = pair.indexOf('=');
    if (equals < 0) throw new Rejected(`expected key=value, found ${JSON.stringify(pair)}`);
    // The keys of an event are unique.
    pairs[pair.slice(0, equals)] ??= pair.slice(equals + 1);
  }
  return { pairs, message: line.slice(at + 4) };
}
