#!lua
-- Ends a task: its result, its dead letter if it has failed for good, and its acknowledgement, in one step. So a worker
-- that is killed before has done nothing, and one that comes second, because it was thought dead, adds no second result.
-- The same step notes that the name of the task has its result, see tasks_begin.lua.
--
-- KEYS  1 stream of tasks  2 stream of results  3 stream of dead letters  4 what is known of the task's name, if it has one
-- ARGV  1 group  2 entry  3 1: the entry goes from the stream  4 length to which results are trimmed, 0: not
--       5 digest of what is asked  6 how long the name is known from now on, ms
--       7 how many words of the result follow  8.. names and values of the result, then those of the dead letter, if any
-- Answer 1, 0 where the task was not pending any more, or 2 where its name had a result, and it was acknowledged only

if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then
  return 0
end

local function settle()
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
  if ARGV[3] == '1' then
    redis.call('XDEL', KEYS[1], ARGV[2])
  end
end

local known = {}
if KEYS[4] then
  known = redis.call('HMGET', KEYS[4], 'digest', 'ended')
  if known[1] == ARGV[5] and known[2] then
    settle()
    return 2
  end
end
-- Looked at first, for a step that fails in its middle is not taken back.
for at = 2, 3 do
  local kind = redis.call('TYPE', KEYS[at]).ok
  if kind ~= 'none' and kind ~= 'stream' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[at] .. ' is a ' .. kind .. ' and no stream')
  end
end

local function add(key, length, from, to)
  local words = { 'XADD', key }
  if length > 0 then
    words[#words + 1] = 'MAXLEN'
    words[#words + 1] = '~'
    words[#words + 1] = length
  end
  words[#words + 1] = '*'
  for at = from, to do
    words[#words + 1] = ARGV[at]
  end
  redis.call(unpack(words))
end

local ends = 7 + tonumber(ARGV[7])
add(KEYS[2], tonumber(ARGV[4]), 8, ends)
if #ARGV > ends then
  add(KEYS[3], 0, ends + 1, #ARGV)
end
-- A name that was forgotten while the task was done may be another one's by now.
if KEYS[4] and (not known[1] or known[1] == ARGV[5]) then
  redis.call('HSET', KEYS[4], 'digest', ARGV[5], 'entry', ARGV[2], 'ended', '1')
  redis.call('PEXPIRE', KEYS[4], ARGV[6])
end
settle()
return 1
