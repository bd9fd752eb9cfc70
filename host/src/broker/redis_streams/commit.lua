#!lua
-- Stores one batch. See commit.rs for why this is exactly once; this file is the step that Redis runs as one.
--
-- With the shebang Redis refuses the script before its first command where a write would fail (out of memory, a replica,
-- a disk that cannot be written), so that a batch is never stored in part. What remains is a stream that cannot be
-- written, for its key holds something else or the user may not: that is asked before anything is written, and unless the
-- batch says what becomes of those entries, nothing is stored and the answer names the streams. The script's own keys
-- are read before anything is written, so one of the wrong type ends it early. The first write is the batch's number,
-- and whatever follows it is called by pcall: a batch that has begun is never stored again.
--
-- An entry may be refused all the same, as by a stream whose last id is used up, and to foresee that would cost more than
-- the entry. Then the batch takes back what it has written, up to its number, and answers as if that had been asked first.
-- So what cannot be taken back, the marks of packets and contents and the removal of entries, stands behind all entries.
--
-- Redis has one core, and each argument and each call costs it: so what is alike in many entries is said once, the marks
-- of all packets are one string, and nothing is done for a delivery or an event that only a repeat would need.
--
-- KEYS  1 session  2 producers  3 marks of packets  4 prefix of dedup marks  5 prefix of request marks
--       6 prefix of counts  7.. streams
-- ARGV  1 layout  2 producer  3 window of dedup, ms (0: off)  4 horizon of packet marks  5 life of session keys, s
--       6 life of request marks, s  7 life of counts, s  8 lengths of the streams, by commas
--       9.. operations
--       then forms of entries, each: e stream severity source category provenance, or f instead of e for an event of
--       another site, or: o stream subject kind - provenance
--       then dedup keys
--       then dedup keys again, each with its event's id, 16 and 16 bytes, in one string
--       then marks of the batch's packets, each: packet id (2 bytes), digest (6 bytes), in one string
--       then the streams of entries without a form, by commas; how many packets, keys and forms; number of the batch among its producer's;
--       streams whose entries are left out, each between two commas, or * for all that cannot be written, but for those
--       that are named behind it in the same way; epoch
-- Answer: { 0 stored | 1 was stored before, number of the producer's batch before this one, { deliveries that are
--       repeats }, { events suppressed }, { ids of the first of them }, { entries refused }, { why }, { those of the repeats
--       that were turned away when they came first } };
--       of a batch that was stored before only the entries refused are known.
--       { 2, epoch that supersedes }. { 3, { streams that cannot be written }, { why } }: nothing is stored.
--       Positions of deliveries, events and entries count from 0, streams from 1.

local session, producers, marks, dedup, requests, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local STREAMS = 6
local argv = ARGV
local last = #argv
local call, pcall, unpack, sub = redis.call, redis.pcall, unpack, string.sub

-- Layout 1, which a spool may still hold, has no provenance in its forms, and neither digest nor topic of the
-- raw event.
local layout = argv[1]
if layout ~= '1' and layout ~= '2' then
  return redis.error_reply('AURORA this batch is of layout ' .. argv[1] .. ', which this version does not know')
end

-- Only the daemon that registered last may commit: what an older one sent arrives late, and its deliveries have been
-- given to the newer one. No epoch, or an older one: Redis lost the registration; it stands again with this commit.
-- Epoch 0: a batch out of the spool, of a session that nobody holds any more.
local epoch = tonumber(argv[last])
local of_session = call('HMGET', session, 'epoch', 'count', 'horizon', 'acknowledged')
local registered = tonumber(of_session[1] or '0')
if epoch > 0 and epoch < registered then
  return { 2, registered }
end

local producer, number, left_out = argv[2], tonumber(argv[last - 2]), argv[last - 1]
local before = tonumber(call('HGET', producers, producer) or '0')
if number <= before then
  -- Written again as it is, so that WAIT on this connection waits for it.
  call('HSET', producers, producer, before)
  -- What it refused then, it has to say again: nobody may have heard it.
  local kept = number == before and call('HGET', producers, producer .. ':refused')
  if kept then
    local answer = cjson.decode(kept)
    return { 1, before, {}, {}, {}, answer.entries, answer.reasons, {} }
  end
  return { 1, before, {}, {}, {}, {}, {}, {} }
end

local lengths = {}
for length in string.gmatch(argv[8], '%d+') do
  lengths[#lengths + 1] = length
end
local forms_count, keys_count, packets = tonumber(argv[last - 3]), tonumber(argv[last - 4]), tonumber(argv[last - 5])
local packet_marks, key_ids = argv[last - 7], argv[last - 8]
local first_key = last - 8 - keys_count
local last_key = first_key + keys_count - 1
local form_size = layout == '1' and 5 or 6
local first_form = first_key - form_size * forms_count

-- By the operation that adds an entry: "1" is the first form, "v1" the same as the first entry of an event with the next
-- of the keys, "u1" of an event without one.
local forms = {}
for form = 1, forms_count do
  local at = first_form + form_size * (form - 1)
  local stream = tonumber(argv[at + 1])
  for begins, name in pairs({ [''] = '', v = 'v', u = 'u' }) do
    forms[name .. form] = { argv[at], KEYS[STREAMS + stream], argv[at + 2], argv[at + 3], argv[at + 4], stream, begins, argv[at + 5] }
  end
end

-- Streams that cannot be written. An entry of a stream that is asked for here may still be left out for nothing of its
-- own is new; better asked in vain.
local asked, is_left_out, may_lack, unwritable, causes = {}, {}, {}, {}, {}
local may_lack_any = sub(left_out, 1, 1) == '*'
local function ask(stream)
  if asked[stream] then
    return
  end
  asked[stream] = true
  local is_named = string.find(left_out, ',' .. stream .. ',', 1, true)
  is_left_out[stream] = is_named and not may_lack_any
  may_lack[stream] = may_lack_any and not is_named
  if is_left_out[stream] or may_lack[stream] then
    return
  end
  local name = KEYS[STREAMS + stream]
  local kind = call('TYPE', name).ok
  local cause
  if kind ~= 'stream' and kind ~= 'none' then
    cause = 'WRONGTYPE the key holds a ' .. kind
  elseif not redis.acl_check_cmd('XADD', name, '*', 'data', '') then
    cause = 'NOPERM the user may not write it'
  elseif not redis.acl_check_cmd('XDEL', name, '0-1') then
    cause = 'NOPERM the user may not take back what it writes there (XDEL)'
  end
  if cause then
    unwritable[#unwritable + 1] = stream
    causes[#causes + 1] = cause
  end
end
for form = 1, forms_count do
  ask(tonumber(argv[first_form + form_size * (form - 1) + 1]))
end
for stream in string.gmatch(argv[last - 6], '%d+') do
  ask(tonumber(stream))
end
if #unwritable > 0 then
  return { 3, unwritable, causes }
end

-- Events seen within the window: two buckets, each as long as the window, looked up at once. A key leads to the stamp of
-- its batch, and the stamp to when that was, by the clock of Redis, which all hosts of a site share, and to the ids.
local window = tonumber(argv[3])
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local bucket
local first_of, some_seen = {}, false
-- An event storm has most of its keys in few batches: each is fetched once.
local batches = {}
local function batch_of(name, stamp)
  local batch = batches[stamp]
  if not batch then
    batch = call('HGET', name, stamp) or '0'
    local at = tonumber(sub(batch, 1, 15))
    -- From the future: a clock was set back. Better twice than never.
    if at <= now - window or at > now then
      batch = ''
    end
    batches[stamp] = batch
  end
  return batch
end
-- The id that belongs to a key in a batch: 15 bytes, then 16 of a key and 16 of an id by turns.
local function id_of(batch, key)
  local place = string.find(batch, key, 16, true)
  while place and (place - 16) % 32 ~= 0 do
    place = string.find(batch, key, place + 1, true)
  end
  return place and sub(batch, place + 16, place + 31)
end
if keys_count > 0 then
  local period = math.floor(now / window)
  bucket = dedup .. ':' .. argv[3] .. ':' .. period
  for _, name in ipairs({ dedup .. ':' .. argv[3] .. ':' .. (period - 1), bucket }) do
    for from = first_key, last_key, 2000 do
      local found = call('HMGET', name, unpack(argv, from, math.min(from + 1999, last_key)))
      for i = 1, #found do
        local stamp = found[i]
        if stamp then
          local first = id_of(batch_of(name, stamp), argv[from + i - 1])
          if first then
            first_of[from - first_key + i] = first
            some_seen = true
          end
        end
      end
    end
  end
end

-- Marks of packets as far back as the horizon: only looked at when a broker says that it delivers again.
-- The farthest horizon that the session has had, for what is unacknowledged was taken under it; but half of the packet
-- ids at most, so that in one round of them no id comes twice within it.
local horizon = math.max(tonumber(argv[4]), math.min(tonumber(of_session[3] or '0'), 32768))
local count = tonumber(of_session[2] or '0')
local oldest = call('LINDEX', marks, 0)
-- An id that comes twice within it has been given out anew by a broker that has lost its count: an era begins. One ends,
-- too, where all that was stored was acknowledged, as far as the broker has let us know.
local acknowledged = tonumber(of_session[4] or '0')
local contents, eras, era, seen, several
local function is_known(packet)
  if not contents then
    contents, eras, era, seen, several = {}, {}, 0, {}, {}
    local batches = call('LRANGE', marks, 0, -1)
    local is_past = false
    for i = 1, #batches + 1 do
      local batch = batches[i]
      local at_count = batch and tonumber(sub(batch, 1, 15)) or count + 1
      if at_count > acknowledged and not is_past then
        era, is_past = era + 1, true
      end
      if batch and at_count > count - horizon then
        for at = 16, #batch - 7, 8 do
          local id, content = sub(batch, at, at + 1), sub(batch, at + 2, at + 7)
          if eras[id] == era then
            era = era + 1
          end
          several[content], seen[content] = seen[content], true
          contents[id], eras[id] = content, era
        end
      end
    end
  end
  local id, content = sub(packet, 1, 2), sub(packet, 3)
  -- Of an earlier era it is the delivery that was stored only if nothing else says the same: among equal events the one
  -- that has the id now may be another. Better twice than never.
  return contents[id] == content and (eras[id] == era or not several[content])
end

local repeats, suppressed, firsts, refused, reasons, turned_away = {}, {}, {}, {}, {}, {}
local event, key, entry = -1, 0, -1
local skip, is_repeat = false, false
local touched, repeated_packets, repeated_marks = {}, 0, {}
local is_repeated, is_suppressed = {}, {}
-- Keys of which an event is stored, and the one of the event at hand.
local is_stored, key_at_hand = {}, nil
-- What is to be taken back if an entry is refused: entries by their streams and ids, what was acknowledged, lines of
-- requests; and what is only removed if none is.
local added, added_to, added_ids, acknowledged, lines, going = 0, {}, {}, {}, {}, {}
local failed, cause

local function add(stream, answer)
  if type(answer) ~= 'table' then
    added = added + 1
    added_to[added], added_ids[added] = stream, answer
    return true
  elseif may_lack[stream] then
    refused[#refused + 1] = entry
    reasons[#reasons + 1] = answer.err
  else
    failed, cause = stream, answer.err
  end
end

-- An entry of the event at hand.
local function add_of_event(stream, answer)
  if add(stream, answer) and key_at_hand then
    is_stored[key_at_hand] = true
  end
end

-- Entries go last and together.
local function remove(name, id)
  local ids = going[name] or {}
  going[name] = ids
  ids[#ids + 1] = id
  ids[id] = true
end

local function begin(delivery, known)
  is_repeat, skip = known, known
  if known then
    repeats[#repeats + 1] = tonumber(delivery)
    is_repeated[delivery] = true
  end
end

local function suppress(first)
  skip = true
  suppressed[#suppressed + 1] = event
  is_suppressed[event] = true
  firsts[#firsts + 1] = first
end

-- An entry that is not pending was stored before and acknowledged with that, if its stream has had it: Redis may have come
-- back with an older state, in which the entry has not come yet.
local function was_acknowledged(name, group, id)
  if pcall('XACK', name, group, id) == 1 then
    acknowledged[#acknowledged + 1] = { name, group, id }
    return false
  end
  local about = pcall('XINFO', 'STREAM', name)
  if about.err then
    return false
  end
  for place = 1, #about, 2 do
    if about[place] == 'last-generated-id' then
      local last_ms, last_seq = string.match(about[place + 1], '^(%d+)-(%d+)$')
      local ms, seq = string.match(id, '^(%d+)-(%d+)$')
      last_ms, last_seq, ms, seq = tonumber(last_ms), tonumber(last_seq), tonumber(ms), tonumber(seq)
      return ms < last_ms or ms == last_ms and seq <= last_seq
    end
  end
  return false
end

call('HSET', producers, producer, number)

local i = 9
while i < first_form and not failed do
  local operation = argv[i]
  local form = forms[operation]
  if form then
    entry = entry + 1
    local begins = form[7]
    if begins == 'v' then
      event, key = event + 1, key + 1
      skip, key_at_hand = is_repeat, key
      if not skip and some_seen and first_of[key] then
        suppress(first_of[key])
      end
    elseif begins == 'u' then
      event = event + 1
      skip, key_at_hand = is_repeat, nil
    end
    if form[1] == 'e' then
      -- data raw topic: a normalized event
      if not skip and not is_left_out[form[6]] then
        touched[form[6]] = true
        if layout == '1' then
          add_of_event(form[6], pcall('XADD', form[2], '*', 'data', argv[i + 1], 'severity', form[3], 'source', form[4],
            'category', form[5]))
        else
          add_of_event(form[6], pcall('XADD', form[2], '*', 'data', argv[i + 1], 'severity', form[3], 'source', form[4],
            'category', form[5], 'raw', argv[i + 2], 'topic', argv[i + 3], 'provenance', form[8]))
        end
      end
      i = i + (layout == '1' and 2 or 4)
    elseif form[1] == 'f' then
      -- data raw topic origin: an event of another site
      if not skip and not is_left_out[form[6]] then
        touched[form[6]] = true
        add_of_event(form[6], pcall('XADD', form[2], '*', 'data', argv[i + 1], 'severity', form[3], 'source', form[4],
          'category', form[5], 'raw', argv[i + 2], 'topic', argv[i + 3], 'provenance', form[8], 'origin', argv[i + 4]))
      end
      i = i + 5
    else
      -- id data: a message for other sites
      if not skip and not is_left_out[form[6]] then
        add_of_event(form[6], pcall('XADD', form[2], '*', 'subject', form[3], 'id', argv[i + 1], 'kind', form[4],
          'data', argv[i + 2], 'provenance', layout == '1' and '' or form[8]))
      end
      i = i + 3
    end
  elseif operation == 'w' then
    -- key id: an event begins that has a key of this batch a second time; its entries follow
    event = event + 1
    skip = is_repeat
    local of = tonumber(argv[i + 1])
    key_at_hand = of
    if not skip and first_of[of] then
      suppress(first_of[of])
    elseif not skip and not is_stored[of] then
      -- The one before is a repeat from before the window, or nothing of it is stored, so this one is the first.
      key_ids = sub(key_ids, 1, 32 * of - 16) .. argv[i + 2] .. sub(key_ids, 32 * of + 1)
    elseif not skip then
      suppress(sub(key_ids, 32 * of - 15, 32 * of))
    end
    i = i + 3
  elseif operation == 'm' then
    -- delivery mark: a packet that the broker delivers again begins. It is a repeat if the last one that was stored
    -- under its id says the same, and if ids cannot have come round since.
    local mark = argv[i + 2]
    local known = is_known(mark)
    begin(argv[i + 1], known)
    if known then
      -- It has its mark, and brings no id nearer to its next use.
      repeated_packets = repeated_packets + 1
      repeated_marks[mark] = (repeated_marks[mark] or 0) + 1
    end
    i = i + 3
  elseif operation == 'n' then
    -- a delivery begins that cannot be a repeat; only said behind one that can
    begin(-1, false)
    i = i + 1
  elseif operation == 'k' then
    -- delivery request line: a line of a request that its client may send again begins
    local name = requests .. ':' .. argv[i + 2]
    local known = pcall('HSETNX', name, argv[i + 3], '1') == 0
    begin(argv[i + 1], known)
    pcall('EXPIRE', name, argv[6])
    if not known then
      lines[#lines + 1] = { name, argv[i + 3] }
    end
    i = i + 4
  elseif operation == 'j' or operation == 't' then
    -- delivery day mark seconds: a message of another site begins, which speaks of that day; t: and is turned away
    local name = requests .. ':federation:' .. argv[i + 2]
    local known = pcall('HSETNX', name, argv[i + 3], operation == 'j' and '1' or '0') == 0
    begin(argv[i + 1], known)
    if known and pcall('HGET', name, argv[i + 3]) == '0' then
      turned_away[#turned_away + 1] = tonumber(argv[i + 1])
    end
    pcall('EXPIRE', name, argv[i + 4])
    if not known then
      lines[#lines + 1] = { name, argv[i + 3] }
    end
    i = i + 5
  elseif operation == 'a' then
    -- delivery stream group id: an entry that was read through a group begins; it goes with this step
    local name = KEYS[STREAMS + tonumber(argv[i + 2])]
    local known = was_acknowledged(name, argv[i + 3], argv[i + 4])
    begin(argv[i + 1], known)
    if not known then
      remove(name, argv[i + 4])
    end
    i = i + 5
  elseif operation == 'c' then
    -- delivery stream group id: the same, but the entry stays in its stream
    begin(argv[i + 1], was_acknowledged(KEYS[STREAMS + tonumber(argv[i + 2])], argv[i + 3], argv[i + 4]))
    i = i + 5
  elseif operation == 'x' then
    -- delivery stream id: an entry that is taken out of its stream begins
    local name, id = KEYS[STREAMS + tonumber(argv[i + 2])], argv[i + 3]
    local known = going[name] and going[name][id] or #pcall('XRANGE', name, id, id) == 0
    begin(argv[i + 1], known)
    if not known then
      remove(name, id)
    end
    i = i + 4
  elseif operation == 'l' then
    -- delivery stream events event … values field value …: a dead letter of a delivery. None is needed of a repeat, nor
    -- where all of the events that it is about are suppressed.
    entry = entry + 1
    local stream, events = tonumber(argv[i + 2]), tonumber(argv[i + 3])
    local is_needed = events == 0
    for one = 1, events do
      is_needed = is_needed or not is_suppressed[tonumber(argv[i + 3 + one])]
    end
    i = i + 4 + events
    local values = tonumber(argv[i])
    if is_needed and not is_repeated[argv[i - events - 3]] then
      touched[stream] = true
      add(stream, pcall('XADD', KEYS[STREAMS + stream], '*', unpack(argv, i + 1, i + values)))
    end
    i = i + 1 + values
  else
    -- 'g' stream values field value …: any other entry. It belongs to the delivery and not to an event.
    entry = entry + 1
    local stream, values = tonumber(argv[i + 1]), tonumber(argv[i + 2])
    if not is_repeat and not is_left_out[stream] then
      touched[stream] = true
      add(stream, pcall('XADD', KEYS[STREAMS + stream], '*', unpack(argv, i + 3, i + 2 + values)))
    end
    i = i + 3 + values
  end
end

if failed then
  for one = 1, added do
    pcall('XDEL', KEYS[STREAMS + added_to[one]], added_ids[one])
  end
  for _, one in ipairs(lines) do
    pcall('HDEL', one[1], one[2])
  end
  -- Pending again, with nobody who runs: the batch comes again, or whoever takes over what is stale finds it.
  for _, one in ipairs(acknowledged) do
    pcall('XCLAIM', one[1], one[2], 'aurora-taken-back', 0, one[3], 'FORCE', 'JUSTID')
  end
  if before > 0 then
    pcall('HSET', producers, producer, before)
  else
    pcall('HDEL', producers, producer)
  end
  return { 3, { failed }, { cause } }
end

for name, ids in pairs(going) do
  for from = 1, #ids, 2000 do
    pcall('XDEL', name, unpack(ids, from, math.min(from + 1999, #ids)))
  end
end

for _, first in ipairs(firsts) do
  -- As consumers read it.
  local hex = string.gsub(first, '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  local id = { sub(hex, 1, 8), sub(hex, 9, 12), sub(hex, 13, 16), sub(hex, 17, 20), sub(hex, 21) }
  local name = counts .. ':' .. table.concat(id, '-')
  pcall('INCR', name)
  pcall('EXPIRE', name, argv[7])
end

-- Once a batch and not once an entry.
for stream in pairs(touched) do
  if lengths[stream] ~= '0' then
    pcall('XTRIM', KEYS[STREAMS + stream], 'MAXLEN', '~', lengths[stream])
  end
end

if keys_count > 0 then
  -- Every batch has a stamp of its own: its producer with its number.
  local stamp = producer .. ':' .. number
  local fresh, some = {}, 0
  for one = 1, keys_count do
    if is_stored[one] then
      fresh[some + 1], fresh[some + 2] = argv[first_key + one - 1], stamp
      some = some + 2
    end
  end
  if some > 0 then
    for from = 1, some, 2000 do
      pcall('HSET', bucket, unpack(fresh, from, math.min(from + 1999, some)))
    end
    pcall('HSET', bucket, stamp, string.format('%015d', now) .. key_ids)
    pcall('PEXPIRE', bucket, 2 * window)
  end
end
if packets > repeated_packets then
  count = count + packets - repeated_packets
  if repeated_packets > 0 then
    packet_marks = string.gsub(packet_marks, '........', function(mark)
      local left = repeated_marks[mark] or 0
      if left > 0 then
        repeated_marks[mark] = left - 1
        return ''
      end
    end)
  end
  pcall('RPUSH', marks, string.format('%015d', count) .. packet_marks)
  while oldest and tonumber(sub(oldest, 1, 15)) <= count - horizon do
    pcall('LPOP', marks)
    oldest = call('LINDEX', marks, 0)
  end
  pcall('EXPIRE', marks, argv[5])
end
pcall('HSET', session, 'epoch', math.max(epoch, registered), 'count', count, 'horizon', horizon)
if #refused > 0 then
  pcall('HSET', producers, producer .. ':refused', cjson.encode({ entries = refused, reasons = reasons }))
elseif before > 0 then
  pcall('HDEL', producers, producer .. ':refused')
end
pcall('EXPIRE', session, argv[5])
-- Longer than a host is away: without its number a batch that is replayed from its spool would be stored again.
pcall('EXPIRE', producers, 400 * 24 * 3600)
return { 0, before, repeats, suppressed, firsts, refused, reasons, turned_away }
