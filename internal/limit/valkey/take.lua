-- KEYS[2] is the subject. ARGV: guard, cost, qps, qpm, epoch, n. The reply is
-- 0 when taken; else 1 for qps or 2 for qpm, and 1 when the limit is used up.
local guard, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
if not cost or cost < 1 or not guard or guard < 0 then
  return redis.error_reply('ERR a cost is at least 1 and a guard not negative')
end
local a = account(KEYS[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
for k = 1, 2 do
  if a.l[k] > 0 then
    if forgot(k) then return {k, 0} end
    local got = taken(a, k)
    if charged(a, k, '') + got + cost > pool(a, k) then
      local used = 0
      for _, h in pairs(a.h) do
        if now < h.a + kept(k) then used = used + h.d[k] end
      end
      return {k, (10 * (used + got) >= 9 * pool(a, k)) and 1 or 0}
    end
  end
end
for k = 1, 2 do
  if a.l[k] > 0 then
    -- Counted as late as it may be dispatched.
    local at, found = math.floor((now + guard) / PART[k]), false
    for _, s in ipairs(a.t[k]) do
      if s[1] == at then s[2], found = s[2] + cost, true end
    end
    if not found then table.insert(a.t[k], {at, cost}) end
  end
end
save(KEYS[2], a)
return {0, 0}
