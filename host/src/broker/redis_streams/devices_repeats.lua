#!lua
-- Which failures of devices are told: the first one of a device and a cause opens a window, and those within it are
-- counted towards the one that opens the next. One step for all hosts of a site, so they agree.
--
-- The delivery that opened a window gets the same answer when it comes again (the host was killed before it had stored
-- what came of it). The same bytes at another host are the same failure, and are not counted.
--
-- Ids of devices that nobody enrolled are anybody's invention. So many of them have a window of their own, for a while;
-- the others share one.
--
-- KEYS  1 hash of the enrolled devices  2 sorted set: strangers, by until when they are remembered  3 hash that strangers
--       beyond the bound share  then two for each failure: hash of the device, hash of it as a stranger
-- ARGV  1 window, ms  2 most strangers  3 for how long one is remembered, ms  then six for each failure: device (or
--       nothing), 'listed' if the file enrols it, cause, SHA-256 of the response, host, delivery
-- Answer: for each failure { 1 if it is told, when the window was opened, how many there were in the one before, since
--       when, 1 if strangers share the window }, times in ms by the clock of Redis

local WIDTH = 6
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local window, most, remembered = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function whole(number)
  return string.format('%.0f', number)
end

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. whole(now))

-- The hash that holds the windows of a device; whether it ends by itself; whether it is shared.
local function place(at, from)
  local device = ARGV[from]
  if device ~= '' then
    if ARGV[from + 1] == 'listed' or redis.call('HGET', KEYS[1], device) then
      return KEYS[at], false, 0
    end
    if redis.call('ZSCORE', KEYS[2], device) or redis.call('ZCOUNT', KEYS[2], '-inf', '+inf') < most then
      redis.call('ZADD', KEYS[2], whole(now + remembered), device)
      redis.call('PEXPIRE', KEYS[2], whole(remembered))
      return KEYS[at + 1], true, 0
    end
  end
  return KEYS[3], true, 1
end

local function enter(at, from)
  local key, ends, shared = place(at, from)
  local field = 'failing:' .. ARGV[from + 2]
  local response, host, delivery = ARGV[from + 3], ARGV[from + 4], ARGV[from + 5]
  local text = redis.call('HGET', key, field)
  -- What cannot be read holds no other failure up: the window begins anew.
  local is_read, open = pcall(cjson.decode, text or 'null')
  if not is_read or type(open) ~= 'table' or type(open.by) ~= 'table' then
    open = nil
  end
  local is_told = 0
  if open and open.response == response and open.by[host] == delivery then
    return { 1, open.opened, open.more, open.since, shared }
  elseif open and now < open.opened + window then
    if open.response == response and not open.by[host] then
      open.by[host] = delivery
    else
      open.count = open.count + 1
    end
  else
    local before = open or { count = 0, opened = now }
    open = { opened = now, more = before.count, since = before.opened, count = 0, response = response, by = { [host] = delivery } }
    is_told = 1
  end
  redis.call('HSET', key, field, cjson.encode(open))
  if ends then
    redis.call('PEXPIRE', key, whole(remembered))
  end
  return { is_told, open.opened, open.more, open.since, shared }
end

local answers = {}
local from = 4
for at = 4, #KEYS, 2 do
  answers[#answers + 1] = enter(at, from)
  from = from + WIDTH
end
return answers
