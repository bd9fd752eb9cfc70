#!lua
-- Lets one host of a site tell that a challenge was not answered, for a while: if what it says of it is not stored by then,
-- because it died, another one does. Until then the challenge is not overdue for anybody.
--
-- KEYS  1 sorted set of what is unanswered
-- ARGV  1 device and nonce  2 for how long, ms
-- Answer: 1 if it may

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local overdue = redis.call('ZSCORE', KEYS[1], ARGV[1])
-- Another host is telling, or has told, or an answer came.
if not overdue or tonumber(overdue) > now then
  return 0
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
return 1
