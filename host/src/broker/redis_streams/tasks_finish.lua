#!lua
-- Ends a task: its result, its dead letter if it has failed for good, and its acknowledgement, in one step. So a worker
-- that is killed before has done nothing, and one that comes second, because it was thought dead, adds no second result.
--
-- KEYS  1 stream of tasks  2 stream of results  3 stream of dead letters
-- ARGV  1 group  2 entry  3 1: the entry goes from the stream  4 length to which results are trimmed, 0: not
--       5 how many words of the result follow  6.. names and values of the result, then those of the dead letter, if any
-- Answer 1, or 0 where the task was not pending any more

if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then
  return 0
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

local ends = 5 + tonumber(ARGV[5])
add(KEYS[2], tonumber(ARGV[4]), 6, ends)
if #ARGV > ends then
  add(KEYS[3], 0, ends + 1, #ARGV)
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] == '1' then
  redis.call('XDEL', KEYS[1], ARGV[2])
end
return 1
