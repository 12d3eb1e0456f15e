-- ARGV: holder, seq, then for each of KEYS[2..] eleven numbers: qps, qpm,
-- epoch, n, held, held, used, used, want, want, weight.
local MIN_PART = 4
local function small(a, k)
  local n = 0
  for id, h in pairs(a.h) do
    if h.x[k] > 0 and now < h.a + LIFE then n = n + 1 end
  end
  return n > 1 and pool(a, k) < MIN_PART * n
end

local function target(a, k, of)
  if small(a, k) then return 0 end
  local rest, weights, ids = pool(a, k), 0, {}
  for id, h in pairs(a.h) do
    if h.x[k] > 0 and now < h.a + LIFE then
      ids[#ids + 1] = id
      weights = weights + h.w
    end
  end
  table.sort(ids)
  local again = true
  while again do
    again = false
    for i, id in ipairs(ids) do
      local h = a.h[id]
      if h.x[k] * weights <= rest * h.w then
        if id == of then return h.x[k] end
        rest, weights = rest - h.x[k], weights - h.w
        table.remove(ids, i)
        again = true
        break
      end
    end
  end
  local before = 0
  for _, id in ipairs(ids) do
    local w = a.h[id].w
    if id == of then
      return math.floor(rest * (before + w) / weights) - math.floor(rest * before / weights)
    end
    before = before + w
  end
  return 0
end

local holder, seq, reply = ARGV[1], tonumber(ARGV[2]), {}
for i = 2, #KEYS do
  local v = {}
  for j = 1, 11 do
    v[j] = tonumber(ARGV[2 + (i - 2) * 11 + j])
    if not v[j] or v[j] < 0 then return redis.error_reply('ERR a demand holds no negative number') end
  end
  local a = account(KEYS[i], v[1], v[2], v[3], v[4])
  local h, grant, free = a.h[holder], {0, 0}, {0, 0}
  if not h or seq > h.s then
    local held = {v[5], v[6]}
    h = {s = seq, w = math.max(v[11], 1), x = {v[9], v[10]}, d = {v[7], v[8]}, l = {v[5], v[6]}, u = now + LIFE + MARGIN, a = now}
    a.h[holder] = h
    for k = 1, 2 do
      if a.l[k] > 0 then
        local room = math.max(pool(a, k) - charged(a, k, holder) - taken(a, k), 0)
        grant[k] = math.min(target(a, k, holder), room)
        if forgot(k) then grant[k] = math.min(grant[k], held[k]) end
        h.l[k] = math.max(held[k], grant[k])
        free[k] = math.max(room - charge(h, k), 0)
        if small(a, k) then free[k] = pool(a, k) end
      end
    end
    save(KEYS[i], a)
  end
  reply[#reply + 1] = grant[1]
  reply[#reply + 1] = grant[2]
  reply[#reply + 1] = free[1]
  reply[#reply + 1] = free[2]
end
return reply
