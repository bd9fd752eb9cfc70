#!lua
-- Gives a worker tasks of the agents that it serves, and of no other.
--
-- A group hands each entry to one consumer, whoever asks first, so a worker that serves some agents would be given the
-- tasks of all. Therefore it looks before it reads: it reads up to the first task that is not for it. That one is left to
-- the workers that it is meant for; only when nobody has taken it for a while it is passed over: read, and put where it
-- has been idle for a day, so that the next XAUTOCLAIM of another worker finds it, with its delivery not counted. What nobody
-- has done long after it was added, and nobody says that he has, is given to whoever takes over, to be given up.
--
-- KEYS  1 stream of tasks
-- ARGV  1 group  2 consumer  3 how many at the most  4 how long a task of others is left at the head, ms
--       5 how long a task of a worker must have been idle to be taken over, ms, or nothing: none is
--       6 behind which pending entry that goes on, or nothing  7 1: all agents are ours
--       8 how old a task of others is that is given up, ms  9.. names of our agents
-- Answer { tasks: { id, deliveries, names and values, 1 if it is of others and to be given up }; tasks passed over; pending entries that were deleted;
--       ms until the head may be passed over, or -1; behind which entry news come; where taking over goes on, or nothing }

local LEFT = 'left-to-other-workers'
local IDLE = 86400000
local PAGE = 200

local key, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local most, patience = tonumber(ARGV[3]), tonumber(ARGV[4])
local serves = {}
for at = 9, #ARGV do
  serves[ARGV[at]] = true
end

local function is_ours(fields)
  if ARGV[7] == '1' then
    return true
  end
  local agent = ''
  for at = 1, #fields, 2 do
    if fields[at] == 'agent' then
      agent = fields[at + 1]
    end
  end
  -- Nobody serves an agent without a name: whoever meets it makes a dead letter of it.
  if #agent > 64 or not string.find(agent, '^[%w_.-]+$') then
    return true
  end
  return serves[agent] == true
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function is_left(id)
  return now - tonumber(string.match(id, '^%d+')) >= tonumber(ARGV[8])
end

local tasks, deleted, cursor = {}, 0, ''
if ARGV[5] ~= '' then
  local from = ARGV[6] == '' and '-' or '(' .. ARGV[6]
  local idle = redis.call('XPENDING', key, group, 'IDLE', ARGV[5], from, '+', PAGE)
  for _, pending in ipairs(idle) do
    if #tasks == most then
      break
    end
    cursor = pending[1]
    -- What is pending with the worker itself, it knows better.
    if pending[2] ~= consumer then
      local entry = redis.call('XRANGE', key, pending[1], pending[1])[1]
      if not entry then
        deleted = deleted + redis.call('XACK', key, group, pending[1])
      else
        local ours = is_ours(entry[2])
        if ours or is_left(pending[1]) then
          redis.call('XCLAIM', key, group, consumer, 0, pending[1])
          tasks[#tasks + 1] = { pending[1], pending[4] + 1, entry[2], ours and 0 or 1 }
        end
      end
    end
  end
  if #idle < PAGE and (#idle == 0 or cursor == idle[#idle][1]) then
    cursor = ''
  end
end

local last
for _, info in ipairs(redis.call('XINFO', 'GROUPS', key)) do
  local named = {}
  for at = 1, #info, 2 do
    named[info[at]] = info[at + 1]
  end
  if named['name'] == group then
    last = named['last-delivered-id']
  end
end
if not last then
  return redis.error_reply('NOGROUP the group of tasks is not there')
end

local read, passed, waits = 0, {}, -1
if #tasks < most then
  for _, entry in ipairs(redis.call('XRANGE', key, '(' .. last, '+', 'COUNT', PAGE)) do
    if #tasks == most then
      break
    end
    if is_ours(entry[2]) then
      tasks[#tasks + 1] = { entry[1], 1, entry[2], 0 }
    else
      -- An id may have been chosen by whoever added it, and then be no time.
      local age = now - tonumber(string.match(entry[1], '^%d+'))
      if age >= 0 and age < patience then
        waits = patience - age
        break
      end
      passed[#passed + 1] = entry[1]
    end
    read, last = read + 1, entry[1]
  end
  if read > 0 then
    redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', read, 'STREAMS', key, '>')
  end
  for _, id in ipairs(passed) do
    redis.call('XCLAIM', key, group, LEFT, 0, id, 'IDLE', IDLE, 'RETRYCOUNT', 0, 'JUSTID')
  end
end
return { tasks, #passed, deleted, waits, last, cursor }
