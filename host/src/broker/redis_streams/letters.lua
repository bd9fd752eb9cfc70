#!lua flags=no-writes
-- Reads a part of the stream of dead letters without their payloads, of which only the sizes are returned: there may be
-- tens of gigabytes of them. Ends early, so that Redis is not kept from its other work.
--
-- KEYS  1 stream
-- ARGV  1 command, XRANGE or XREVRANGE  2 bound to begin at  3 bound to end at  4 most entries  5 most bytes of payload
-- Answer: { 1 if that was all, { { id, bytes of payload, { field, value … } } … } }

local stream, command, from, to = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local most, most_bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local AT_ONCE = 8

local found, bytes = {}, 0
while #found < most and bytes < most_bytes do
  local entries = redis.call(command, stream, from, to, 'COUNT', AT_ONCE)
  for i = 1, #entries do
    local id, all = entries[i][1], entries[i][2]
    local size, fields = 0, {}
    for j = 1, #all, 2 do
      if all[j] == 'payload' then
        size = #all[j + 1]
      else
        fields[#fields + 1] = all[j]
        fields[#fields + 1] = all[j + 1]
      end
    end
    bytes = bytes + size
    found[#found + 1] = { id, size, fields }
    from = '(' .. id
  end
  if #entries < AT_ONCE then
    return { 1, found }
  end
end
return { 0, found }
