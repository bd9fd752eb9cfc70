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
--
-- An entry: t type  v value  f, l first and last time  e when it ends  c messages  m TLP  k their marks
--       s by site that tells it: { first, last, count, TLP, when its word ends }  g by site that saw it: { first, last, count }
--       w by site and object ('': by messages): { version, when that ends, TLP }
--       q { when it ends though nobody named tells it, TLP of the same }

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

-- What has ended goes, and the entry is as long and as strict as what is left: what a source said ends with its word.
local function settle(entry)
  entry.e, entry.m = entry.q[1], entry.q[2]
  for site, claims in pairs(entry.w) do
    local ending, tlp = 0, 0
    for object, claim in pairs(claims) do
      if claim[2] > now then
        ending, tlp = math.max(ending, claim[2]), math.max(tlp, claim[3])
      else
        claims[object] = nil
      end
    end
    local told = entry.s[site]
    if told and ending > 0 then
      told[4], told[5] = tlp, ending
      entry.e, entry.m = math.max(entry.e, ending), math.max(entry.m, tlp)
    else
      entry.s[site], entry.w[site] = nil, nil
    end
  end
end

-- Daemons of before kept one end and one marking for all sources.
local function renew(entry)
  if not entry.w then
    entry.w, entry.q = {}, { next(entry.s) and 0 or entry.e, entry.m }
  end
  for site, told in pairs(entry.s) do
    if not entry.w[site] then
      local claims = {}
      for object, version in pairs(entry.r and entry.r[site] or { [''] = told[2] }) do
        claims[object] = { version, entry.e, told[4] }
      end
      entry.w[site] = claims
    end
  end
  entry.r = nil
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
    and (entry.w == nil or type(entry.w) == 'table' and type(entry.q) == 'table')
  if not ok or entry.e <= now then
    return nil, true
  end
  renew(entry)
  settle(entry)
  return entry.e > now and entry or nil, true
end

local function write(id, entry)
  call('HSET', entries, id, cjson.encode(entry))
  call('ZADD', ends, entry.e, id)
end

local function is_known(marks, mark)
  for at = 1, #marks, MARK do
    if string.sub(marks, at, at + MARK - 1) == mark then
      return true
    end
  end
  return false
end

-- One more of `site`. Of too many the one that was silent longest goes; until when it was told and how strictly stays.
local function note(entry, sites, site, first, last)
  local known = sites[site]
  if known then
    known[1], known[2], known[3] = math.min(known[1], first), math.max(known[2], last), known[3] + 1
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
    local gone = sites[silent]
    entry.q = { math.max(entry.q[1], gone[5] or 0), math.max(entry.q[2], gone[4] or 0) }
    sites[silent] = nil
  end
  sites[site] = { first, last, 1 }
end

-- What `site` tells by an object: one claim, and of its versions the latest holds. What messages tell is one claim, too, of
-- which the latest says until when and the strictest how far. Of too many objects the one that ends soonest goes.
local function claim(entry, site, object, version, ending, tlp)
  local claims = entry.w[site] or {}
  local known = claims[object]
  if known then
    if known[1] > version then
      return
    end
    if known[1] == version or object == '' then
      tlp = math.max(tlp, known[3])
    end
  else
    local count, soonest = 0, nil
    for name, one in pairs(claims) do
      count = count + 1
      if not soonest or one[2] < claims[soonest][2] then
        soonest = name
      end
    end
    if count >= OBJECTS then
      tlp = math.max(tlp, claims[soonest][3])
      claims[soonest] = nil
    end
  end
  claims[object] = { version, ending, tlp }
  entry.w[site] = claims
end

-- `site` tells it no more by this version of an object. With the last object its word goes, and with the last word the
-- entry, by whomever it was seen. What came by messages is withdrawn by what is not older than the last of them.
local function withdraw(at)
  local id, site, object, version = ARGV[at], ARGV[at + 3], ARGV[at + 11], tonumber(ARGV[at + 12])
  local entry = read(id)
  local claims = entry and entry.w[site]
  if not claims then
    return 'gone', 0
  end
  local name = claims[object] and object or ''
  if not claims[name] or claims[name][1] > version then
    return 'gone', entry.c
  end
  claims[name] = nil
  settle(entry)
  if next(entry.s) then
    write(id, entry)
  else
    size = size - call('HDEL', entries, id)
    call('ZREM', ends, id)
  end
  return entry.s[site] and 'gone' or 'withdrawn', entry.c
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
  local object, version = ARGV[at + 11], tonumber(ARGV[at + 12])
  if object == '' then
    version = last
  end
  local is_again = entry and is_known(entry.k, mark)
  local is_told = entry and entry.w[site] and entry.w[site][object]
  -- What was withdrawn meanwhile is told anew.
  if is_again and (what ~= 'i' or is_told) then
    -- The same message delivered again ends as before; an object that is told once more goes on from now.
    if what == 'i' and ending > now and ending ~= is_told[2] then
      local told = entry.s[site]
      told[2], entry.l = math.max(told[2], last), math.max(entry.l, last)
      claim(entry, site, object, version, ending, tlp)
      settle(entry)
      write(id, entry)
    end
    return 'again', entry.c
  end
  if what == 'i' and ending <= now then
    return 'ended', entry and entry.c or 0
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
    entry = { t = kind, v = value, f = first, l = last, e = 0, c = 0, m = 0, s = {}, g = {}, k = '', w = {}, q = { 0, 0 } }
    size = size + (is_there and 0 or 1)
  end
  entry.f, entry.l = math.min(entry.f, first), math.max(entry.l, last)
  if not is_again then
    entry.k = string.sub(entry.k .. mark, -MARKS * MARK)
  end
  if what == 'o' then
    note(entry, entry.g, site, first, last)
  else
    entry.c = entry.c + 1
    if what == 's' then
      note(entry, entry.g, site, first, last)
      -- What is only seen again and again, as a name that everybody asks for, must not live by that.
      entry.q = { is_new and ending or entry.q[1], math.max(entry.q[2], tlp) }
    else
      note(entry, entry.s, site, first, last)
      claim(entry, site, object, version, ending, tlp)
    end
  end
  settle(entry)
  write(id, entry)
  return is_new and 'new' or 'counted', entry.c
end

local codes, counts = {}, {}
for at = 2, #ARGV, WIDTH do
  codes[#codes + 1], counts[#counts + 1] = record(at)
end
return { size, codes, counts }
