#!lua
-- Records what sites tell of indicators, and what was seen of them. What it means stands in host/src/intel; how an entry is
-- kept, in entry.rs there.
--
-- KEYS  1 entries: id to JSON  2 when each ends
-- ARGV  1 most entries  2.. thirteen for each thing to record: id, type, value, site, first and last time in ms, when it
--       ends in ms (0: `ttl` after the last time), ttl in ms, TLP from 0 (clear) to 4 (red), mark of the message (12
--       hexadecimal digits), what: i (a site tells an indicator), s (a site tells that it saw one), o (we have seen one
--       ourselves), w (a site withdraws one), mark of the object that says so (12 hexadecimal digits, or nothing), version of
--       the object in ms
-- Answer: { entries, a code for each, how many messages have told each }; codes: new, counted, again (the message was there
--       before), ended (it is over), full, gone (seen, and nobody tells it any more; or the site tells nothing that could be
--       withdrawn), withdrawn

local entries, ends = KEYS[1], KEYS[2]
local call = redis.call
local most = tonumber(ARGV[1])
local WIDTH, PORTION = 13, 1000
-- Messages that an entry knows again, sites that it names, objects of a site.
local MARKS, MARK, SITES, OBJECTS = 64, 12, 32, 16

local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local size = call('HLEN', entries)
local ended = call('ZRANGE', ends, '-inf', now, 'BYSCORE', 'LIMIT', 0, PORTION)
if #ended > 0 then
  size = size - call('HDEL', entries, unpack(ended))
  call('ZREM', ends, unpack(ended))
end

-- What somebody else has written there is not there.
local function read(id)
  local stored = call('HGET', entries, id)
  if not stored then
    return nil, false
  end
  local ok, entry = pcall(cjson.decode, stored)
  ok = ok and type(entry) == 'table' and type(entry.s) == 'table' and type(entry.k) == 'string'
    and (entry.r == nil or type(entry.r) == 'table')
  return ok and entry.e > now and entry or nil, true
end

local function is_known(marks, mark)
  for at = 1, #marks, MARK do
    if string.sub(marks, at, at + MARK - 1) == mark then
      return true
    end
  end
  return false
end

-- One more of `site`. Of too many the one that was silent longest goes.
local function note(sites, site, first, last, tlp)
  local known = sites[site]
  if known then
    known[1], known[2], known[3] = math.min(known[1], first), math.max(known[2], last), known[3] + 1
    if tlp then
      known[4] = math.max(known[4], tlp)
    end
    return
  end
  local count, silent = 0, nil
  for name, times in pairs(sites) do
    count = count + 1
    if not silent or times[2] < sites[silent][2] then
      silent = name
    end
  end
  if count >= SITES then
    sites[silent] = nil
  end
  sites[site] = { first, last, 1, tlp }
end

-- By which objects `site` tells an indicator, and in which versions: what one object withdraws another may still tell. Of
-- too many the oldest goes. A site that went goes here, too.
local function note_object(entry, site, object, version)
  local all = entry.r or {}
  local objects = all[site] or {}
  local count, oldest = 0, nil
  for name, known in pairs(objects) do
    count = count + 1
    if not oldest or known < objects[oldest] then
      oldest = name
    end
  end
  if not objects[object] and count >= OBJECTS then
    objects[oldest] = nil
  end
  objects[object] = math.max(objects[object] or 0, version)
  all[site] = objects
  for name in pairs(all) do
    if not entry.s[name] then
      all[name] = nil
    end
  end
  entry.r = all
end

-- `site` tells it no more by this version of an object. With the last object its claim goes, and with the last claim the
-- entry, by whomever it was seen. Of what came by no object it is known when it was told last.
local function withdraw(at)
  local id, site, object, version = ARGV[at], ARGV[at + 3], ARGV[at + 11], tonumber(ARGV[at + 12])
  local entry = read(id)
  local told = entry and entry.s[site]
  if not told then
    return 'gone', 0
  end
  local objects = entry.r and entry.r[site]
  local known = told[2]
  if objects then
    known = objects[object]
  end
  if not known or known > version then
    return 'gone', entry.c
  end
  if objects then
    objects[object] = nil
  end
  local is_told = objects and next(objects)
  if not is_told then
    entry.s[site] = nil
    if entry.r then
      entry.r[site] = nil
    end
  end
  if next(entry.s) then
    call('HSET', entries, id, cjson.encode(entry))
  else
    size = size - call('HDEL', entries, id)
    call('ZREM', ends, id)
  end
  return is_told and 'gone' or 'withdrawn', entry.c
end

local function record(at)
  local id, kind, value, site = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local first, last, ending = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local ttl, tlp, mark, what = tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8]), ARGV[at + 9], ARGV[at + 10]
  if what == 'w' then
    return withdraw(at)
  end
  local entry, is_there = read(id)
  -- A clock that is ahead must not keep an indicator for ever.
  last = math.min(last, now)
  first = math.min(first, last)
  ending = math.min(ending > 0 and ending or last + ttl, now + ttl)
  if entry and is_known(entry.k, mark) then
    return 'again', entry.c
  end
  local is_new = not entry
  if is_new then
    if what == 'o' then
      return 'gone', 0
    elseif ending <= now then
      return 'ended', 0
    elseif not is_there and size >= most then
      return 'full', 0
    end
    entry = { t = kind, v = value, f = first, l = last, e = ending, c = 0, m = tlp, s = {}, g = {}, k = '' }
    size = size + (is_there and 0 or 1)
  end
  entry.f, entry.l = math.min(entry.f, first), math.max(entry.l, last)
  entry.k = string.sub(entry.k .. mark, -MARKS * MARK)
  if what == 'o' then
    note(entry.g, site, first, last)
  else
    entry.m, entry.c = math.max(entry.m, tlp), entry.c + 1
    if what == 's' then
      note(entry.g, site, first, last)
    else
      -- What is only seen again and again, as a name that everybody asks for, must not live by that.
      note(entry.s, site, first, last, tlp)
      if ARGV[at + 11] ~= '' then
        note_object(entry, site, ARGV[at + 11], tonumber(ARGV[at + 12]))
      end
      entry.e = math.max(entry.e, ending)
    end
  end
  call('HSET', entries, id, cjson.encode(entry))
  call('ZADD', ends, entry.e, id)
  return is_new and 'new' or 'counted', entry.c
end

local codes, counts = {}, {}
for at = 2, #ARGV, WIDTH do
  codes[#codes + 1], counts[#counts + 1] = record(at)
end
return { size, codes, counts }
