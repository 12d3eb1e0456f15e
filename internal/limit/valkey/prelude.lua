-- The rules of limit.Book, where they run atomically beside what they change.
-- Times are microseconds of this server's clock. KEYS[1] is the boot marker of
-- the slot; it names the server's run, so that a flush, a restart, an older dump
-- and a failover all show as a memory that begins now.
local LIFE, MARGIN = 10000000, 500000
local PART = {15625, 937500}
local SLOTS = 65
local function kept(k) return PART[k] * SLOTS end
local FORGET = 2 * LIFE + kept(2)

local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or 'unknown'
local since
local mark = redis.call('GET', KEYS[1])
if mark then
  local r, s = string.match(mark, '^(%x+):(%d+)$')
  if r == run then since = tonumber(s) end
end
if not since or since > now then
  since = now
  redis.call('SET', KEYS[1], run .. ':' .. string.format('%.0f', now))
end

local function forgot(k) return now < since + LIFE + MARGIN + kept(k) end

-- account reads a subject: its newest limits, its holders, what was taken.
local function account(key, q, m, e, n)
  local raw = redis.call('GET', key)
  local a = raw and cmsgpack.unpack(raw) or {l = {q, m}, e = e, n = n, h = {}, t = {{}, {}}}
  if a.e < e or (a.e == e and a.n < n) then a.l, a.e, a.n = {q, m}, e, n end
  for id, h in pairs(a.h) do
    if now >= h.u + kept(2) then a.h[id] = nil end
  end
  for k = 1, 2 do
    local left, gone = {}, math.floor(now / PART[k]) - SLOTS
    for _, s in ipairs(a.t[k]) do
      if s[1] > gone then left[#left + 1] = s end
    end
    a.t[k] = left
  end
  return a
end

local function save(key, a)
  redis.call('SET', key, cmsgpack.pack(a), 'PX', math.floor(FORGET / 1000))
end

-- pool is what may be granted: the limit less its base shares.
local function pool(a, k) return a.l[k] - math.floor(a.l[k] / 10) end

local function charge(h, k)
  local c = 0
  if now < h.u + kept(k) then c = h.l[k] end
  if now < h.a + kept(k) and h.d[k] > c then c = h.d[k] end
  return c
end

local function charged(a, k, but)
  local sum = 0
  for id, h in pairs(a.h) do
    if id ~= but then sum = sum + charge(h, k) end
  end
  return sum
end

local function taken(a, k)
  local sum = 0
  for _, s in ipairs(a.t[k]) do sum = sum + s[2] end
  return sum
end
