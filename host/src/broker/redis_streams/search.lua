#!lua flags=no-writes
-- Reads a part of a stream, newest first, and returns of its entries those that hold a text in one field. Ends early, so
-- that Redis is not kept from its other work.
--
-- KEYS  1 stream
-- ARGV  1 bound to begin at  2 bound to end at  3 field  4 text  5 most entries
-- Answer: { 1 if that was all, entries read, id of the last one, { { id, { field, value … } } … } }

local stream, from, to, field, text, most = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local AT_ONCE = 64

local found, read, last = {}, 0, ''
while read < most do
  local entries = redis.call('XREVRANGE', stream, from, to, 'COUNT', AT_ONCE)
  for i = 1, #entries do
    local id, all = entries[i][1], entries[i][2]
    for j = 1, #all, 2 do
      if all[j] == field and string.find(all[j + 1], text, 1, true) then
        found[#found + 1] = entries[i]
        break
      end
    end
    read, last, from = read + 1, id, '(' .. id
  end
  if #entries < AT_ONCE then
    return { 1, read, last, found }
  end
end
return { 0, read, last, found }
