#!lua
-- Whether tasks that were delivered are to be begun. Whoever adds a task may name it, and adds it again where he heard no
-- answer: entries of one name that ask the same are one task. The first that comes here is done; the others wait for its
-- result, without being begun, and are then acknowledged here.
--
-- KEYS  1 stream of tasks  2.. what is known of the task's name, for each task
-- ARGV  1 group  2 consumer  3 1: entries that are acknowledged go from the stream  4 how long a name is known, ms
--       5.. for each task: its entry, digest of what is asked, how often it was delivered before this time
-- Answer: for each task { what, entry that had the name before }; what is one of
--       begin     it is the one that is done
--       wait      another entry is, and is pending; this delivery does not count
--       repeated  it has its result already, and is acknowledged
--       other     the name is that of a task that asks something else

local key, group = KEYS[1], ARGV[1]
local answers = {}
for place = 2, #KEYS do
  local mark, at = KEYS[place], 5 + 3 * (place - 2)
  local entry, digest, before = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local known = redis.call('HMGET', mark, 'digest', 'entry', 'ended')
  local what, first = 'begin', known[2] or ''
  if known[1] and known[1] ~= digest then
    what = 'other'
  elseif known[3] then
    what = 'repeated'
    redis.call('XACK', key, group, entry)
    if ARGV[3] == '1' then
      redis.call('XDEL', key, entry)
    end
  elseif known[1] and first ~= entry and #redis.call('XPENDING', key, group, first, first, 1) > 0 then
    what = 'wait'
    redis.call('XCLAIM', key, group, ARGV[2], 0, entry, 'RETRYCOUNT', before, 'JUSTID')
  else
    -- Also where the first one went without a result, as by somebody's hand: then this one is in its place.
    redis.call('HSET', mark, 'digest', digest, 'entry', entry)
    redis.call('PEXPIRE', mark, ARGV[4])
  end
  answers[#answers + 1] = { what, first }
end
return answers
