#!lua
-- Stores one batch. See commit.rs for why this is exactly once; this file is the step that Redis runs as one.
--
-- With the shebang Redis refuses the script before its first command where a write would fail (out of memory, a replica,
-- a disk that cannot be written), so that a batch is never stored in part. What remains is a key of the wrong type:
-- that entry is left out and reported, the rest is stored. The script's own keys are read before anything is written, so
-- one of the wrong type ends it early; what may fail later is called by pcall.
--
-- KEYS  1 session  2 producers  3 prefix of dedup marks  4 prefix of request marks  5 prefix of counts  6.. streams
-- ARGV  1 layout  2 producer  3 window of dedup, ms (0: off)  4 horizon of packet marks  5 life of session keys, s
--       6 life of request marks, s  7 life of counts, s  8 lengths of the streams, by commas  9.. operations, then the
--       dedup keys, how many they are, number of the batch among its producer's, epoch
-- Answer: { 0 stored | 1 was stored before | 2 superseded, number of the producer's batch before this one or the epoch
--       that supersedes, { deliveries that are repeats }, { events suppressed }, { ids of the first of them },
--       { entries refused }, { why } }; positions count from 0

local session, producers, dedup, requests, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local STREAMS = 5
local argv = ARGV
local call, pcall = redis.call, redis.pcall

if argv[1] ~= '1' then
  return redis.error_reply('AURORA this batch is of layout ' .. argv[1] .. ', which this version does not know')
end

-- Only the daemon that registered last may commit: what an older one sent arrives late, and its deliveries have been
-- given to the newer one. No epoch, or an older one: Redis lost the registration; it stands again with this commit.
-- Epoch 0: a batch out of the spool, of a session that nobody holds any more.
local epoch = tonumber(argv[#argv])
local registered = tonumber(call('HGET', session, 'epoch') or '0')
if epoch > 0 and epoch < registered then
  return { 2, registered }
end

local producer, number = argv[2], tonumber(argv[#argv - 1])
local before = tonumber(call('HGET', producers, producer) or '0')
if number <= before then
  -- Written again as it is, so that WAIT on this connection waits for it.
  call('HSET', producers, producer, before)
  return { 1, before }
end

local lengths = {}
for length in string.gmatch(argv[8], '%d+') do
  lengths[#lengths + 1] = length
end

-- Events seen within the window: two buckets, each as long as the window, looked up at once. The clock is that of
-- Redis, which all hosts of a site share.
local keys_end = #argv - 3
local operations_end = keys_end - tonumber(argv[#argv - 2])
local first_key = operations_end + 1
local seen, fresh = {}, {}
local window = tonumber(argv[3])
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local bucket
if window > 0 and first_key <= keys_end then
  local period = math.floor(now / window)
  bucket = dedup .. ':' .. argv[3] .. ':' .. period
  for _, name in ipairs({ dedup .. ':' .. argv[3] .. ':' .. (period - 1), bucket }) do
    for from = first_key, keys_end, 1000 do
      local marks = call('HMGET', name, unpack(argv, from, math.min(from + 999, keys_end)))
      for i = 1, #marks do
        local mark = marks[i]
        if mark then
          local at = tonumber(string.sub(mark, 37))
          -- From the future: a clock was set back. Better twice than never.
          if at > now - window and at <= now then
            seen[argv[from + i - 1]] = string.sub(mark, 1, 36)
          end
        end
      end
    end
  end
end

local horizon = tonumber(argv[4])
local count = tonumber(call('HGET', session, 'count') or '0')
local marks = {}
local repeats, suppressed, firsts, refused, reasons = {}, {}, {}, {}, {}
local delivery, event, entry = -1, -1, -1
local is_repeat, is_suppressed = false, false

local function add(answer)
  entry = entry + 1
  if answer.err then
    refused[#refused + 1] = entry
    reasons[#reasons + 1] = answer.err
  end
end

local function begin(known)
  delivery = delivery + 1
  is_repeat, is_suppressed = known, false
  if known then
    repeats[#repeats + 1] = delivery
  end
end

local i = 9
while i <= operations_end do
  local operation = argv[i]
  if operation == 'e' then
    -- stream data severity source category: a normalized event
    if is_repeat or is_suppressed then
      entry = entry + 1
    else
      local stream = tonumber(argv[i + 1])
      local key, length = KEYS[STREAMS + stream], lengths[stream]
      if length == '0' then
        add(pcall('XADD', key, '*', 'data', argv[i + 2], 'severity', argv[i + 3], 'source', argv[i + 4], 'category', argv[i + 5]))
      else
        add(pcall('XADD', key, 'MAXLEN', '~', length, '*', 'data', argv[i + 2], 'severity', argv[i + 3], 'source', argv[i + 4], 'category', argv[i + 5]))
      end
    end
    i = i + 6
  elseif operation == 'v' then
    -- key id: an event begins; its entries follow
    event = event + 1
    is_suppressed = false
    local key = argv[i + 1]
    if bucket and key ~= '' and not is_repeat then
      local first = seen[key]
      if first then
        is_suppressed = true
        suppressed[#suppressed + 1] = event
        firsts[#firsts + 1] = first
        local name = counts .. ':' .. first
        pcall('INCR', name)
        call('EXPIRE', name, argv[7])
      else
        seen[key] = argv[i + 2]
        fresh[#fresh + 1] = key
        fresh[#fresh + 1] = argv[i + 2] .. now
      end
    end
    i = i + 3
  elseif operation == 'm' then
    -- packet digest dup: a delivery of MQTT begins. Its mark says that this packet id was stored with this content; it
    -- is believed only where the broker says that it delivers again, and only while ids cannot have come round.
    local known = false
    if argv[i + 3] == '1' then
      local mark = call('HGET', session, argv[i + 1])
      if mark and string.sub(mark, 1, 8) == argv[i + 2] then
        known = count - tonumber(string.sub(mark, 9)) < horizon
      end
    end
    begin(known)
    if not known then
      -- Repeats are not counted: they bring no id nearer to its next use.
      count = count + 1
      marks[#marks + 1] = argv[i + 1]
      marks[#marks + 1] = argv[i + 2] .. count
    end
    i = i + 4
  elseif operation == 'o' then
    -- stream subject id kind data: something for other sites
    if is_repeat or is_suppressed then
      entry = entry + 1
    else
      add(pcall('XADD', KEYS[STREAMS + tonumber(argv[i + 1])], '*', 'subject', argv[i + 2], 'id', argv[i + 3], 'kind', argv[i + 4], 'data', argv[i + 5]))
    end
    i = i + 6
  elseif operation == 'n' then
    -- a delivery that is never delivered again begins
    begin(false)
    i = i + 1
  elseif operation == 'k' then
    -- request line: a line of a request that its client may send again begins
    local name = requests .. ':' .. argv[i + 1]
    begin(pcall('HSETNX', name, argv[i + 2], '1') == 0)
    call('EXPIRE', name, argv[6])
    i = i + 3
  elseif operation == 'a' then
    -- stream group id: an entry that was read through a group begins; it goes with this step
    local key = KEYS[STREAMS + tonumber(argv[i + 1])]
    local pending = pcall('XACK', key, argv[i + 2], argv[i + 3])
    begin(pending ~= 1)
    if pending == 1 then
      call('XDEL', key, argv[i + 3])
    end
    i = i + 4
  elseif operation == 'c' then
    -- stream group id: the same, but the entry stays in its stream
    begin(pcall('XACK', KEYS[STREAMS + tonumber(argv[i + 1])], argv[i + 2], argv[i + 3]) ~= 1)
    i = i + 4
  elseif operation == 'x' then
    -- stream id: an entry that is taken out of its stream begins
    begin(pcall('XDEL', KEYS[STREAMS + tonumber(argv[i + 1])], argv[i + 2]) ~= 1)
    i = i + 3
  else
    -- 'g' stream values field value …: any other entry. It belongs to the delivery and not to an event.
    local stream, values = tonumber(argv[i + 1]), tonumber(argv[i + 2])
    if is_repeat then
      entry = entry + 1
    elseif lengths[stream] == '0' then
      add(pcall('XADD', KEYS[STREAMS + stream], '*', unpack(argv, i + 3, i + 2 + values)))
    else
      add(pcall('XADD', KEYS[STREAMS + stream], 'MAXLEN', '~', lengths[stream], '*', unpack(argv, i + 3, i + 2 + values)))
    end
    i = i + 3 + values
  end
end

if #fresh > 0 then
  for from = 1, #fresh, 2000 do
    call('HSET', bucket, unpack(fresh, from, math.min(from + 1999, #fresh)))
  end
  call('PEXPIRE', bucket, 2 * window)
end
for from = 1, #marks, 2000 do
  call('HSET', session, unpack(marks, from, math.min(from + 1999, #marks)))
end
call('HSET', session, 'epoch', math.max(epoch, registered), 'count', count)
call('HSET', producers, producer, number)
call('EXPIRE', session, argv[5])
call('EXPIRE', producers, argv[5])
return { 0, before, repeats, suppressed, firsts, refused, reasons }
