#!lua
-- Uses nonces up: the one step of a verdict that must be taken once for all hosts of a site.
--
-- A nonce is bound to the response that used it, and on each host to one delivery. The same delivery again (the host was
-- killed before it had stored what came of it, or an answer of Redis was lost) gets the verdict of the first time. The same
-- bytes as another delivery repeat what held (the device had no acknowledgement of its broker): no verdict of their own.
-- Where it did not hold they are a replay, as any other response is. Only responses whose signature holds come here, so
-- nobody without the key can use up a nonce.
--
-- A boot count is of the key that it was given under: with another key the board is another one, and begins anew. One that
-- was noted without its key goes for that of the key which answers first.
--
-- KEYS  1 hash of the enrolled devices  2 sorted set of what is unanswered  3.. hash of the device, for each claim
-- ARGV  eleven for each claim: device, nonce, SHA-256 of the response, host, delivery, boot count, what else is wrong with
--       it (or nothing), the record of the device that was judged by (or nothing), the record to put in its place (or
--       nothing), when it was received in ms, fingerprint of the key that signed it
-- Answer: for each claim { code, the boot count before, or when the nonce expired }; codes:
--       valid, enrolled, boot, or what else was wrong: the nonce is used for it;
--       elsewhere: another host of the site has it; repeated: it came before, and held; used, expired, unknown: the nonce
--       is not to be had; changed: judge again

local WIDTH = 11
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- Decimal numbers of any length, without leading zeros: a boot count has 64 bits, and a number of Lua 53.
local function is_below(one, other)
  if #one ~= #other then
    return #one < #other
  end
  return one < other
end

local function claim(key, from)
  local device, nonce, response, host, delivery = ARGV[from], ARGV[from + 1], ARGV[from + 2], ARGV[from + 3], ARGV[from + 4]
  local boot, fault, record, renewed = ARGV[from + 5], ARGV[from + 6], ARGV[from + 7], ARGV[from + 8]
  local received, signer = tonumber(ARGV[from + 9]), ARGV[from + 10]
  local list = cjson.decode(redis.call('HGET', key, 'challenges') or '[]')
  for _, challenge in ipairs(list) do
    if challenge.nonce == nonce then
      local used = challenge.used
      if used then
        if used.response ~= response then
          return { 'used', '' }
        end
        local by = used.by[host]
        if by == delivery then
          return { used.code, used.boot }
        elseif by then
          local held = used.code == 'valid' or used.code == 'enrolled'
          return { held and 'repeated' or 'used', '' }
        end
        -- Both hosts subscribe to the same topics. It is one response, and one result.
        used.by[host] = delivery
        redis.call('HSET', key, 'challenges', cjson.encode(list))
        return { 'elsewhere', '' }
      end
      if (redis.call('HGET', KEYS[1], device) or '') ~= record then
        return { 'changed', '' }
      end
      -- A host whose clock is ahead must not make a response late.
      if math.min(received, now) > challenge.expires then
        return { 'expired', string.format('%.0f', challenge.expires) }
      end
      local noted = redis.call('HMGET', key, 'boot', 'boot-key')
      local before = noted[1] or ''
      if noted[2] and noted[2] ~= signer then
        before = ''
      end
      local code = fault
      if before ~= '' and is_below(boot, before) then
        code = 'boot'
      elseif code == '' then
        code = 'valid'
      end
      if code ~= 'boot' then
        redis.call('HSET', key, 'boot', boot, 'boot-key', signer)
      end
      if code == 'valid' and renewed ~= '' then
        redis.call('HSET', KEYS[1], device, renewed)
        code = 'enrolled'
      end
      challenge.used = { response = response, code = code, boot = before, by = { [host] = delivery } }
      redis.call('HSET', key, 'challenges', cjson.encode(list))
      redis.call('ZREM', KEYS[2], device .. ' ' .. nonce)
      return { code, before }
    end
  end
  return { 'unknown', '' }
end

local answers = {}
for place = 3, #KEYS do
  answers[#answers + 1] = claim(KEYS[place], WIDTH * (place - 3) + 1)
end
return answers
