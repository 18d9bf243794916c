-- The one wrk script of the bench: asks one or several paths, each request as another user, and says what came of it.
--
--   wrk … -s load.lua URL -- KEY=VALUE …
--     method=POST            default GET
--     paths=/a;/b            asked one after the other; each with every line of the file
--     header=Name: prefix    goes before each line of the file and makes a header of it
--     lines=FILE             one identity a line; without it every request is the same
--     ends=stop|again        after the last line of the last path: end the run (with one thread), or, by default, begin again
--     ended=N                end the run after N answers that said so (with one thread, and count=1)
--     count=1                look into the answers (costs the load generator a few microseconds each)
--     close=1                a connection of its own for every request
--     think=MS               each connection rests before every request, so long on average
--
-- The lines are read as they are needed, so a million of them cost neither time nor memory at the start.
-- The last line on stdout is `hongbao-wrk {json}`: counters, latencies in microseconds, CPU seconds of wrk itself.
local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long nanoseconds; } hongbao_time;
  int clock_gettime(int clock, hongbao_time *time);
  int getpid(void);
  int kill(int pid, int signal);
]])

local threads = {}

function setup(thread)
  thread:set("index", #threads)
  table.insert(threads, thread)
end

-- From here on: in each thread.
wins, ended, others, first_win, last_win = 0, 0, 0, 0, 0
exhausted = 0

local function options(args)
  local found = {}
  for _, word in ipairs(args) do
    local key, value = string.match(word, "^(%w+)=(.*)$")
    if key then found[key] = value end
  end
  return found
end

local time = ffi.new("hongbao_time")
local function now()
  ffi.C.clock_gettime(1, time)
  return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

-- wrk itself sleeps until its time is over; an interrupt wakes it.
local function finish()
  wrk.thread:stop()
  ffi.C.kill(ffi.C.getpid(), 2)
end

local function count_answers(ended_max)
  local find = string.find
  response = function(status, _, body)
    if status == 200 and find(body, '"won"', 1, true) then
      wins = wins + 1
      last_win = now()
      if wins == 1 then first_win = last_win end
    elseif status == 200 and find(body, '"ended"', 1, true) then
      ended = ended + 1
      if ended == ended_max then finish() end
    else
      others = others + 1
    end
  end
end

-- The parts of a request around the identity.
local function parts(option, path)
  local head = { (option.method or "GET") .. " " .. path .. " HTTP/1.1", "Host: " .. wrk.headers["Host"] }
  if option.method == "POST" then head[#head + 1] = "Content-Length: 0" end
  if option.close == "1" then head[#head + 1] = "Connection: close" end
  if not option.lines then return table.concat(head, "\r\n") .. "\r\n\r\n", "" end
  return table.concat(head, "\r\n") .. "\r\n" .. option.header, "\r\n\r\n"
end

function init(args)
  local option = options(args)
  if option.think then
    local most = 2 * tonumber(option.think)
    delay = function() return math.random(0, most) end
  end
  if option.count == "1" then count_answers(tonumber(option.ended)) end
  local paths = {}
  for path in string.gmatch(option.paths or wrk.path, "[^;]+") do paths[#paths + 1] = path end
  local at = 1
  local head, tail = parts(option, paths[at])
  if not option.lines then
    request = function() return head end
    return
  end
  local file = assert(io.open(option.lines, "r"))
  file:setvbuf("full", 1048576)

  local function advance()
    at = at + 1
    if at > #paths then
      exhausted = 1
      if option.ends == "stop" then finish() end
      at = 1
    end
    head, tail = parts(option, paths[at])
    file:seek("set", 0)
    return file:read("*l")
  end

  request = function()
    local line = file:read("*l") or advance()
    return head .. line .. tail
  end
end

-- In the main thread again.
function done(summary, latency)
  local sum = { wins = 0, ended = 0, others = 0, exhausted = 0 }
  local first, last = math.huge, 0
  for _, thread in ipairs(threads) do
    for name in pairs(sum) do sum[name] = sum[name] + thread:get(name) end
    if thread:get("first_win") > 0 then first = math.min(first, thread:get("first_win")) end
    last = math.max(last, thread:get("last_win"))
  end
  local errors = summary.errors
  io.write(string.format(
    '\nhongbao-wrk {"requests":%d,"durationUs":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,' ..
    '"p50Us":%d,"p99Us":%d,"p999Us":%d,"maxUs":%d,"wins":%d,"ended":%d,"others":%d,"winsUs":%d,"exhausted":%s,"cpuUs":%d}\n',
    summary.requests, summary.duration, summary.bytes, errors.connect, errors.read, errors.write, errors.status,
    errors.timeout, latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
    sum.wins, sum.ended, sum.others, last > 0 and (last - first) * 1e6 or 0,
    sum.exhausted > 0 and "true" or "false", os.clock() * 1e6))
end
