-- Nothing was ever granted here, as was known after this memory was seen to begin
-- at ARGV[1]: so there is nothing to wait for, and it reaches back for ever. One
-- that begins at another time has forgotten since, whatever it was.
if string.format('%.0f', since) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], run .. ':0')
return 1
