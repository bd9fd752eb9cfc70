#!lua
-- Adds a task for somebody who asks for its result, unless the same was added before.
--
-- KEYS  1 stream of tasks  2 ticket of the task
-- ARGV  1 group of workers  2 most tasks that may wait  3 how long the ticket is kept, ms  4 digest of what is asked
--       5.. names and values of the entry
-- Answer { added, known, other or full; the result, if it is there; entries that wait }

local known = redis.call('HMGET', KEYS[2], 'digest', 'result')
if known[1] then
  return { known[1] == ARGV[4] and 'known' or 'other', known[2] or '', 0 }
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
local words = { 'XADD', KEYS[1], '*' }
for at = 5, #ARGV do
  words[#words + 1] = ARGV[at]
end
redis.call(unpack(words))
redis.call('HSET', KEYS[2], 'digest', ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return { 'added', '', waiting }
