-- POST /v1/rounds/R/grab in nginx: one script call to Redis for each request, over connections that are kept.
-- Debian has no Redis client for nginx, and this one call needs none: a request is one write and one line back.
local round = ngx.var.round
local user = ngx.var.http_x_user
ngx.header.content_type = "application/json"

local function busy()
  ngx.status = 503
  ngx.print('{"result":"busy"}')
end

if not user then
  ngx.status = 401
  ngx.print('{"result":"unauthorized"}')
  return
end

local redis = ngx.socket.tcp()
redis:settimeouts(5000, 5000, 5000)
if not redis:connect("127.0.0.1", redis_port, redis_pool) then return busy() end

local keys = redis_keys[round]
if not keys then
  keys = ""
  for _, name in ipairs({ "left", "claims", "journal" }) do
    local key = "{bench}:" .. name .. ":" .. round
    keys = keys .. "$" .. #key .. "\r\n" .. key .. "\r\n"
  end
  redis_keys[round] = keys
end
local sent = redis:send({
  "*7\r\n$7\r\nEVALSHA\r\n$40\r\n", claim_sha, "\r\n$1\r\n3\r\n", keys, "$", #user, "\r\n", user, "\r\n",
})
local line = sent and redis:receive("*l")
if not line or string.byte(line) ~= 58 then return busy() end
redis:setkeepalive(60000)

local id = string.sub(line, 2)
if id == "0" then
  ngx.print('{"result":"ended","round":', round, "}")
else
  ngx.print('{"result":"won","round":', round, ',"n":1,"prize":{"id":"', id,
    '","kind":"envelope","amount":888,"currency":"CNY"}}')
end
