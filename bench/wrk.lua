-- bench/wrk.lua [DEPTH] - what wrk sends, and its result as one line for a program to read.
--
-- With DEPTH above 1 each write holds that many pipelined requests. `request` is defined only then: where it is
-- missing, wrk formats its request once and calls no Lua while it measures.

function init(args)
   local depth = tonumber(args[1] or "1")
   if depth > 1 then
      local batch = string.rep(wrk.format(), depth)
      request = function() return batch end
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("result requests=%d duration_us=%d p50_us=%d p99_us=%d refused=%d socket_errors=%d\n",
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      e.status, e.connect + e.read + e.write + e.timeout))
end
