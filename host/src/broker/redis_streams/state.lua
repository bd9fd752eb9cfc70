#!lua
-- Makes the changes of one call of a guest. What they mean stands in host/src/state; how a value is kept, in value.rs there.
--
-- The first command that writes is behind every one that only reads a type: keys of the wrong type end it before.
--
-- KEYS  1 entries: key to value, and under the empty key how many bytes all of them are  2 when each ends
-- ARGV  1 most keys  2 most bytes  3 most marks of a counter
--       4.. changes: p key ms value: put | d key: delete | i key ms steps: add; ms until it ends, if it is new.
--       A step has 17 bytes: n (no mark), m (a mark that may be there) or f (one that cannot be), mark (8), how much (8)
-- Answer: { keys, bytes, changes refused }

local entries, ends = KEYS[1], KEYS[2]
local call, sub = redis.call, string.sub
local most_keys, most_bytes, most_marks = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- What has ended is cleared away in portions, so that nobody waits for a large one.
local PORTION = 1000
-- Beyond this a number of Lua is not exact.
local MOST = 9007199254740992

local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local bytes = tonumber(call('HGET', entries, '') or '0')
local keys = math.max(0, call('HLEN', entries) - 1)
local ended = call('ZRANGE', ends, '-inf', now, 'BYSCORE', 'LIMIT', 0, PORTION)
local refused = 0

local function forget(key)
  local size = call('HSTRLEN', entries, key)
  if size > 0 then
    call('HDEL', entries, key)
    keys, bytes = keys - 1, bytes - size - #key
  end
  call('ZREM', ends, key)
end

-- `before`: how many bytes are there now.
local function write(key, kind, ending, rest, before, is_same_end)
  local stored = kind .. struct.pack('>I8', ending) .. rest
  local is_new = before == 0
  local more = #stored - before + (is_new and #key or 0)
  if (is_new and keys >= most_keys) or (more > 0 and bytes + more > most_bytes) then
    refused = refused + 1
    return
  end
  call('HSET', entries, key, stored)
  if not is_same_end then
    call('ZADD', ends, ending, key)
  end
  keys, bytes = keys + (is_new and 1 or 0), bytes + more
end

-- The marks have 16 bytes each, with the count after it; what looks like one between two is none.
local function is_known(marks, mark)
  local at = string.find(marks, mark, 1, true)
  while at and (at - 1) % 16 ~= 0 do
    at = string.find(marks, mark, at + 1, true)
  end
  return at
end

local function add(key, ms, steps)
  local stored = call('HGET', entries, key) or ''
  local kind, ending = sub(stored, 1, 1), #stored >= 9 and struct.unpack('>I8', stored, 2) or 0
  -- What is none of ours is not there: nothing may fail here half-way.
  local is_there = ending > now and (kind == 'b' or kind == 'c' and #stored >= 17)
  local count, marks = 0, ''
  if is_there and kind == 'c' then
    count, marks = struct.unpack('>i8', stored, 10), sub(stored, 18)
  elseif is_there then
    local text = sub(stored, 10)
    local digits = string.match(text, '^%-?(%d+)$')
    if not digits or #digits > 15 then
      refused = refused + 1
      return
    end
    count = tonumber(text)
  else
    ending = now + ms
  end
  -- One mark is found faster than all of them are taken apart, and many are not.
  local known, added, is_added = nil, {}, {}
  if #steps > 4 * 17 then
    known = {}
    for at = 1, #marks - 15, 16 do
      known[sub(marks, at, at + 7)] = true
    end
  end
  for at = 1, #steps, 17 do
    local flag, mark = sub(steps, at, at), sub(steps, at + 1, at + 8)
    local is_old = flag == 'm' and (is_added[mark] or known and known[mark] or not known and is_known(marks, mark))
    if not is_old then
      count = math.max(-MOST, math.min(MOST, count + struct.unpack('>i8', steps, at + 9)))
      if flag ~= 'n' then
        added[#added + 1] = mark .. struct.pack('>i8', count)
        is_added[mark] = true
      end
    end
  end
  marks = marks .. table.concat(added)
  if #marks > 16 * most_marks then
    marks = sub(marks, -16 * most_marks)
  end
  write(key, 'c', ending, struct.pack('>i8', count) .. marks, #stored, is_there)
end

if keys == 0 then
  -- One of the two was lost, or both ended.
  call('DEL', ends)
  bytes, ended = 0, {}
end
for _, key in ipairs(ended) do
  forget(key)
end

local at = 4
while at <= #ARGV do
  local change, key = ARGV[at], ARGV[at + 1]
  if change == 'd' then
    forget(key)
    at = at + 2
  elseif change == 'p' then
    write(key, 'b', now + tonumber(ARGV[at + 2]), ARGV[at + 3], call('HSTRLEN', entries, key), false)
    at = at + 4
  else
    add(key, tonumber(ARGV[at + 2]), ARGV[at + 3])
    at = at + 4
  end
end

if keys == 0 then
  call('DEL', entries, ends)
  return { 0, 0, refused }
end
call('HSET', entries, '', bytes)
-- All of it goes with its last entry: a guest that is not asked any more leaves nothing.
local last = call('ZRANGE', ends, -1, -1, 'WITHSCORES')
local left = math.max(1, (tonumber(last[2]) or now) - now)
call('PEXPIRE', entries, left)
call('PEXPIRE', ends, left)
return { keys, bytes, refused }
