-- Nothing was ever granted here as of ARGV[1], by this server's clock: so there
-- is nothing to wait for, and the memory reaches back for ever. What was known
-- five seconds ago may have changed.
if now - tonumber(ARGV[1]) > 5000000 then return 0 end
redis.call('SET', KEYS[1], run .. ':0')
return 1
