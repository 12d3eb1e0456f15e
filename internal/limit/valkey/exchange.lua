-- KEYS[2..] are the counts of subjects. ARGV: holder, seq, then a sum for each.
-- The reply is when this memory began, its age, and what others count, as text:
-- numbers of the protocol would be cut to integers by way of doubles anyway.
local holder, seq = ARGV[1], tonumber(ARGV[2])
local reply = {string.format('%.0f', since), string.format('%.0f', math.min(now - since, kept(2)))}
for i = 2, #KEYS do
  local own = tonumber(ARGV[1 + i])
  if not own or own < 0 then return redis.error_reply('ERR a count is not negative') end
  local raw = redis.call('GET', KEYS[i])
  local all = raw and cmsgpack.unpack(raw) or {}
  local old, others = all[holder], 0
  if not old or seq > old[1] then all[holder] = {seq, own, now} end
  for id, c in pairs(all) do
    if now >= c[3] + kept(2) then
      all[id] = nil
    elseif id ~= holder then
      others = others + c[2]
    end
  end
  redis.call('SET', KEYS[i], cmsgpack.pack(all), 'PX', math.floor(FORGET / 1000))
  reply[#reply + 1] = string.format('%.0f', others)
end
return reply
