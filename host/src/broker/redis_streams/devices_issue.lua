#!lua
-- Notes a challenge to a device, unless another host of the site has just sent one.
--
-- KEYS  1 hash of the device  2 sorted set of the devices that somebody asks for
-- ARGV  1 device  2 nonce  3 how long the device may take, ms  4 how long until the next one is due, ms
--       5 'asked' (somebody wants one now) or 'due' (by the schedule)  6 challenges that are kept
-- Answer: { 1, when it was issued, when it expires } or { 0, when the next one is due, 0 }, in ms by the clock of Redis,
--       which all hosts share; { 2, 0, 0 } if what the device was sent cannot be read

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local within, interval = tonumber(ARGV[3]), tonumber(ARGV[4])
local is_list, list = pcall(cjson.decode, redis.call('HGET', KEYS[1], 'challenges') or '[]')
if not is_list or type(list) ~= 'table' then
  return { 2, 0, 0 }
end
if ARGV[5] == 'asked' then
  -- Of several hosts one serves the wish.
  if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then
    return { 0, 0, 0 }
  end
else
  local due = tonumber(redis.call('HGET', KEYS[1], 'due') or '0')
  -- Written by a longer interval than ours: what holds is the nearer of the two.
  if list[1] then
    due = math.min(due, list[1].issued + interval)
  end
  if due > now then
    return { 0, due, 0 }
  end
end
table.insert(list, 1, { nonce = ARGV[2], issued = now, expires = now + within })
while #list > tonumber(ARGV[6]) do
  table.remove(list)
end
redis.call('HSET', KEYS[1], 'challenges', cjson.encode(list))
if interval > 0 then
  redis.call('HSET', KEYS[1], 'due', string.format('%.0f', now + interval))
end
return { 1, now, now + within }
