-- wrk script of `hongbao rehearse`: every user grabs, then every user asks for the result.
--
-- $HONGBAO_REHEARSE_JOB names a Lua file that returns a table:
--   host, grab (path and query, without n), result (path), tokens (file of user<TAB>token lines), users, threads,
--   per_user, passes_max, verify, began_at (seconds since 1970), step (seconds), out (file for the figures),
--   gate (a file; nobody grabs before it is there, because the first thread would be early)
--
-- wrk does not say to which request an answer belongs. So the work goes in passes over this thread's users: a pass
-- ends when as many answers came as requests went out, and is repeated while some of them were `busy` (asking again
-- is safe: who has won gets the same prize). While a pass waits for its last answers the idle connections must send
-- something: a request for a path that is not there, slowly; its 404 is told apart by its status. So it is too before a
-- pass may begin: a user asks less often than the limit of five a second, also where a pass over few users takes no time.
--
--   grab n=1 .. per_user, each up to passes_max times  -->  result, up to passes_max times  -->  finished

local ffi = require("ffi")
ffi.cdef [[
  struct hongbao_timeval { long sec; long usec; };
  int gettimeofday(struct hongbao_timeval *now, void *zone);
  int usleep(unsigned int usec);
  int access(const char *path, int mode);
]]

local job = dofile(assert(os.getenv("HONGBAO_REHEARSE_JOB")))

-- Answers that were lost with their connection must not hold up a pass for ever.
local LAST_ANSWERS_SECONDS_MAX = 5
local FILLER_PAUSE_USEC = 1000
local GATE_SECONDS_MAX = 10
local PASS_SECONDS_MIN = 0.25

local timeval = ffi.new("struct hongbao_timeval")
local function now()
  ffi.C.gettimeofday(timeval, nil)
  return tonumber(timeval.sec) + tonumber(timeval.usec) / 1e6
end

-- The state of one thread; globals, so that done() can read them ------------------------------------------------------

counts = {}          -- answers to grabs by result word; a win that was told before counts as `repeat`
results = {}         -- answers to /result by result word
answers_by_step = {} -- answers to grabs in each step of time
wins_by_step = {}    -- new wins likewise
told_wins = 0        -- prizes told by grabs, each once
told_amount = 0      -- their sum in minor units
missing = 0          -- told, but not in the results (only known when every result came)
verified = 0         -- told and in the results
unanswered = 0       -- requests whose answers never came
last_win_at = 0
finished = 0

local tokens = {}
local told, found = {}, {}
local phase, n, pass = "grab", 1, 1
local cursor, sent, received, busy = 0, 0, 0, 0
local filler_cursor = 0
local waiting_since = nil
local pass_began, not_before = 0, 0
local first_part, last_part, filler_part

function init()
  local line_number = 0
  for line in io.lines(job.tokens) do
    if line_number >= job.users then break end
    if line_number % job.threads == index then tokens[#tokens + 1] = line:match("\t(.+)$") end
    line_number = line_number + 1
  end
  last_part = "\r\n\r\n"
  filler_part = "GET /v1/nothing-here HTTP/1.1\r\nHost: " .. job.host .. "\r\nAuthorization: Bearer "
  enter("grab", 1, 1)
  io.stderr:write("hongbao-rehearse: thread started\n")
  if #tokens == 0 then
    io.stderr:write("hongbao-rehearse: grabs finished\n")
    finish()
  end
end

function enter(new_phase, new_n, new_pass)
  phase, n, pass = new_phase, new_n, new_pass
  not_before = pass_began + PASS_SECONDS_MIN
  cursor, sent, received, busy, waiting_since = 0, 0, 0, 0, nil
  local call = phase == "grab" and "POST " .. job.grab .. "&n=" .. n or "GET " .. job.result
  local length = phase == "grab" and "Content-Length: 0\r\n" or ""
  first_part = call .. " HTTP/1.1\r\nHost: " .. job.host .. "\r\n" .. length .. "Authorization: Bearer "
end

function finish()
  phase, finished = "finished", 1
  io.stderr:write("hongbao-rehearse: thread finished\n")
end

-- All answers of a pass are here, or will not come.
local function pass_ends()
  local open = busy + (sent - received)
  if open > 0 and pass < job.passes_max then return enter(phase, n, pass + 1) end
  unanswered = unanswered + (sent - received)
  if phase == "grab" and n < job.per_user then return enter("grab", n + 1, 1) end
  if phase == "grab" then io.stderr:write("hongbao-rehearse: grabs finished\n") end
  if phase == "grab" and job.verify then return enter("result", 1, 1) end
  if phase == "result" and open == 0 then
    for id in pairs(told) do
      if found[id] then verified = verified + 1 else missing = missing + 1 end
    end
  end
  finish()
end

local function filler()
  ffi.C.usleep(FILLER_PAUSE_USEC)
  -- Another user each time, so that nobody is over their limit.
  filler_cursor = filler_cursor % #tokens + 1
  return filler_part .. tokens[filler_cursor] .. last_part
end

-- wrk asks the first thread for one request that it only looks at.
local looked_at = false

local gate_is_open = false

local function wait_at_the_gate()
  local end_at = now() + GATE_SECONDS_MAX
  while ffi.C.access(job.gate, 0) ~= 0 and now() < end_at do ffi.C.usleep(1000) end
  gate_is_open = true
end

function request()
  if index == 0 and not looked_at then
    looked_at = true
    return filler()
  end
  if not gate_is_open then wait_at_the_gate() end
  if phase == "finished" then
    if #tokens == 0 then
      ffi.C.usleep(FILLER_PAUSE_USEC)
      return "GET /v1/nothing-here HTTP/1.1\r\nHost: " .. job.host .. last_part
    end
    return filler()
  end
  if cursor < #tokens and waiting_since == nil then
    if cursor == 0 then
      if now() < not_before then return filler() end
      pass_began = now()
    end
    cursor = cursor + 1
    sent = sent + 1
    return first_part .. tokens[cursor] .. last_part
  end
  if waiting_since == nil then waiting_since = now() end
  if received >= sent or now() - waiting_since > LAST_ANSWERS_SECONDS_MAX then
    pass_ends()
    return request()
  end
  return filler()
end

-- Pure functions of one answer ----------------------------------------------------------------------------------------

local function word_of(status, body)
  local word = body:match('^%s*{%s*"result"%s*:%s*"([%w_]+)"')
  if word then return word end
  return status == 200 and "ok" or "http_" .. status
end

local function count(values, key) values[key] = (values[key] or 0) + 1 end

local function take_grab(status, body)
  local word = word_of(status, body)
  local at = now()
  local step = math.floor((at - job.began_at) / job.step)
  count(answers_by_step, step)
  if word == "busy" or word == "limited" then busy = busy + 1 end
  if word == "won" then
    local id = body:match('"id"%s*:%s*"(%d+)"')
    if id == nil or told[id] then
      word = "repeat"
    else
      told[id] = true
      told_wins = told_wins + 1
      told_amount = told_amount + (tonumber(body:match('"amount"%s*:%s*(%d+)')) or 0)
      count(wins_by_step, step)
      last_win_at = at
    end
  end
  count(counts, word)
end

local function take_result(status, body)
  local word = word_of(status, body)
  if status == 200 then
    for id in body:gmatch('"prize"%s*:%s*{[^}]-"id"%s*:%s*"(%d+)"') do found[id] = true end
  else
    busy = busy + 1
  end
  count(results, word)
end

function response(status, _, body)
  if status == 404 or phase == "finished" then return end
  -- No more answers are taken than requests went out.
  if received >= sent then return end
  received = received + 1
  if phase == "grab" then take_grab(status, body) else take_result(status, body) end
end

-- The sum over all threads, in wrk's main state -----------------------------------------------------------------------

local threads = {}

function setup(thread)
  thread:set("index", #threads)
  threads[#threads + 1] = thread
end

local function json_object(values)
  local fields = {}
  for key, value in pairs(values) do fields[#fields + 1] = string.format('"%s":%d', key, value) end
  return "{" .. table.concat(fields, ",") .. "}"
end

local function sum_of(name)
  local sum = 0
  for _, thread in ipairs(threads) do sum = sum + thread:get(name) end
  return sum
end

local function merged(name)
  local sum = {}
  for _, thread in ipairs(threads) do
    for key, value in pairs(thread:get(name)) do sum[key] = (sum[key] or 0) + value end
  end
  return json_object(sum)
end

function done(summary)
  local last = 0
  for _, thread in ipairs(threads) do last = math.max(last, thread:get("last_win_at")) end
  local errors = summary.errors
  local fields = {
    string.format('"finished":%s', sum_of("finished") == #threads and "true" or "false"),
    string.format('"lastWinAt":%.3f', last),
    '"counts":' .. merged("counts"),
    '"results":' .. merged("results"),
    '"answers":' .. merged("answers_by_step"),
    '"wins":' .. merged("wins_by_step"),
  }
  for _, name in ipairs({ "told_wins", "told_amount", "verified", "missing", "unanswered" }) do
    fields[#fields + 1] = string.format('"%s":%d', name, sum_of(name))
  end
  fields[#fields + 1] = string.format('"errors":{"connect":%d,"read":%d,"write":%d,"timeout":%d}',
    errors.connect, errors.read, errors.write, errors.timeout)
  local out = assert(io.open(job.out, "w"))
  out:write("{" .. table.concat(fields, ",") .. "}\n")
  out:close()
end
