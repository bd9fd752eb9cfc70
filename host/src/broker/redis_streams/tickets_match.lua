#!lua
-- Brings results to the tickets of those who asked, and acknowledges them, in one step.
--
-- KEYS  1 stream of results  2 tickets of tasks whose agent is not known, see tickets_submit.lua  3.. ticket of the task, for each result
-- ARGV  1 group  2 how long a ticket is kept from now on, ms  3.. for each result: its entry, and what the ticket gets
-- Answer: for each result { matched, unmatched: nobody asked, repeated: there was one, or gone: acknowledged before;
--       ms since it was added }

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local answers = {}
for place = 3, #KEYS do
  local entry, result = ARGV[2 * place - 3], ARGV[2 * place - 2]
  local what = 'gone'
  if redis.call('XACK', KEYS[1], ARGV[1], entry) > 0 then
    redis.call('ZREM', KEYS[2], KEYS[place])
    local ticket = redis.call('HMGET', KEYS[place], 'digest', 'result')
    if not ticket[1] then
      what = 'unmatched'
    elseif ticket[2] then
      what = 'repeated'
    else
      redis.call('HSET', KEYS[place], 'result', result)
      redis.call('PEXPIRE', KEYS[place], ARGV[2])
      what = 'matched'
    end
  end
  answers[#answers + 1] = { what, math.max(0, now - tonumber(string.match(entry, '^%d+'))) }
end
return answers
