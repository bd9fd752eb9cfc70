#!lua
-- Lets one host of a site tell that a device has fallen silent, or that it is back, for a while: if what it says of it is
-- not stored by then, because it died, another one does.
--
-- KEYS  1 hash: devices of which it was told that they are silent  2 hash: until when a host is telling of a device
--       3 sorted set: when the last heartbeat of a device came
-- ARGV  1 device  2 'silent' or 'back'  3 for how long, ms  4 latest heartbeat that a silent device has sent, ms
-- Answer: 1 if it may

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local is_told = redis.call('HGET', KEYS[1], ARGV[1]) ~= false
if is_told ~= (ARGV[2] == 'back') then
  return 0
end
if ARGV[2] == 'silent' then
  -- Another host may have heard it since.
  local heard = redis.call('ZSCORE', KEYS[3], ARGV[1])
  if heard and tonumber(heard) > tonumber(ARGV[4]) then
    return 0
  end
end
if tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0') > now then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', now + tonumber(ARGV[3])))
return 1
