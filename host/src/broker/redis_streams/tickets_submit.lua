#!lua
-- Adds a task for somebody who asks for its result, unless the same was added before.
--
-- A ticket goes some time after its result, and what is known of the task's name may stay for longer (see tasks_begin.lua).
-- Then the name still says whether the same is asked. If it is, the name is forgotten, so that the task is done again:
-- nobody has its result any more, and a worker would only acknowledge the new entry.
--
-- KEYS  1 stream of tasks  2 ticket of the task  3 what is known of the task's name
--       4 tickets of tasks whose agent is not known, by when they were added
-- ARGV  1 group of workers  2 most tasks that may wait  3 how long the ticket is kept without a result, ms  4 digest of what is asked
--       5 most tasks that may wait of agents that are not known, or nothing: this one's is
--       6 how long such a task may wait, ms  7.. names and values of the entry
-- Answer { added, known, other, full or strange: too many of agents that are not known; the result, if it is there; entries that wait }

local known = redis.call('HMGET', KEYS[2], 'digest', 'result')
if known[1] then
  return { known[1] == ARGV[4] and 'known' or 'other', known[2] or '', 0 }
end
local name = redis.call('HMGET', KEYS[3], 'digest', 'ended')
if name[1] and name[1] ~= ARGV[4] then
  return { 'other', '', 0 }
end
local waiting = 0
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'stream' then
  waiting = redis.call('XLEN', KEYS[1])
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local named = {}
    for at = 1, #info, 2 do
      named[info[at]] = info[at + 1]
    end
    -- Where Redis does not know how many are unread, all that are there count.
    if named['name'] == ARGV[1] and named['lag'] then
      waiting = named['lag'] + named['pending']
    end
  end
end
if waiting >= tonumber(ARGV[2]) then
  return { 'full', '', waiting }
end
if ARGV[5] ~= '' then
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('(%.0f', now - tonumber(ARGV[6])))
  local strange = redis.call('ZCOUNT', KEYS[4], '-inf', '+inf')
  if strange >= tonumber(ARGV[5]) then
    return { 'strange', '', strange }
  end
  redis.call('ZADD', KEYS[4], string.format('%.0f', now), KEYS[2])
  redis.call('PEXPIRE', KEYS[4], ARGV[6])
end
local words = { 'XADD', KEYS[1], '*' }
for at = 7, #ARGV do
  words[#words + 1] = ARGV[at]
end
redis.call(unpack(words))
if name[2] then
  redis.call('DEL', KEYS[3])
end
redis.call('HSET', KEYS[2], 'digest', ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return { 'added', '', waiting }
