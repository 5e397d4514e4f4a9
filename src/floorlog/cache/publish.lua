-- Writes last values by compare-and-set and tells the page what changed. One slot, one round trip.
-- KEYS[1]  hash: series → [ts, …] as JSON; the field '' holds the generation
-- ARGV[1]  a generation for a cache that has none, because it is new or was flushed
-- ARGV[2]  the channel
-- ARGV[3]  anomaly events as JSON, joined by commas
-- ARGV[4…] series, ts, JSON; again and again
-- Returns the generation and the number of values that moved. At an equal ts the first stands.
local key = KEYS[1]
local generation = redis.call('HGET', key, '')
if not generation then
  generation = ARGV[1]
  redis.call('HSET', key, '', generation)
end
local moved = {}
if #ARGV > 3 then
  local names = {}
  for i = 4, #ARGV, 3 do
    names[#names + 1] = ARGV[i]
  end
  local held = redis.call('HMGET', key, unpack(names))
  local pairs_to_set = {}
  for n = 1, #names do
    local at = 1 + 3 * n
    local ts = held[n] and tonumber(string.match(held[n], '^%[(%-?%d+)'))
    if not ts or tonumber(ARGV[at + 1]) > ts then
      pairs_to_set[#pairs_to_set + 1] = names[n]
      pairs_to_set[#pairs_to_set + 1] = ARGV[at + 2]
      moved[#moved + 1] = ARGV[at + 2]
    end
  end
  if #moved > 0 then
    redis.call('HSET', key, unpack(pairs_to_set))
  end
end
if #moved > 0 or ARGV[3] ~= '' then
  redis.call('PUBLISH', ARGV[2],
    '{"values":[' .. table.concat(moved, ',') .. '],"anomalies":[' .. ARGV[3] .. ']}')
end
return {generation, #moved}
