// pool-go SYSTEM WORKLOAD [NAME=VALUE ...] - one workload against one of the pools of pools.go.
//
// The same workloads, options and output as main.c; what is said there is not said again here.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	endPoll     = 50 * time.Microsecond
	warmJobs    = 32768
	leastJobs   = 65536
	sleepTime   = 100 * time.Millisecond
	fibOf       = 32
	fibRepeats  = 5
	idleWarm    = 200
	microsecond = 1000 // ns
)

var options = map[string]int{
	"threads": 64, "producers": 1, "tasks": 2000000, "bound": 65536, "ms": 300, "pause_us": 300, "every": 200,
	"rate": 100000,
}

func say(metric string, value float64) { fmt.Printf("%s %.6g\n", metric, value) }

func sayPeakMemory() {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, _ := strconv.ParseFloat(fields[1], 64)
			say("rss", kib*1024/1e6)
		}
	}
}

func sayLatencies(jobs []job) {
	sort.Slice(jobs, func(a, b int) bool { return jobs[a].waited < jobs[b].waited })
	n := len(jobs)
	say("p50", float64(jobs[n/2].waited)/microsecond)
	say("p99", float64(jobs[n-1-n/100].waited)/microsecond)
	say("max", float64(jobs[n-1].waited)/microsecond)
}

// submitAll submits job(0) to job(count-1), the producers a share each, and waits until all have ended.
func submitAll(p pool, count, producers int, poll time.Duration, job func(int) *job) time.Duration {
	wanted := ends() + uint64(count)
	start := time.Now()
	produce := func(from, to int) {
		for i := from; i < to; i++ {
			p.submit(job(i))
		}
	}
	var others sync.WaitGroup
	for n := 1; n < producers; n++ {
		others.Add(1)
		go func(n int) {
			produce(count*n/producers, count*(n+1)/producers)
			others.Done()
		}(n)
	}
	produce(0, count/producers)
	others.Wait()
	waitForEnds(wanted, poll)
	return time.Since(start)
}

// One pass of as many jobs as fill the time: without an array of jobs there is no reason for several.
func empty(p pool) {
	nothing := &job{run: func(*job) {}}
	pass := func(count int) time.Duration {
		return submitAll(p, count, options["producers"], endPoll, func(int) *job { return nothing })
	}
	warm := warmJobs
	count := int(float64(warm) / pass(warm).Seconds() * float64(options["ms"]) / 1e3)
	if count < leastJobs {
		count = leastJobs
	}
	say("rate", float64(count)/pass(count).Seconds()/1e6)
}

func noteWait(j *job) { j.waited = now() - j.submitted }

func waitOfOne(p pool, j *job) {
	j.run = func(j *job) {
		noteWait(j)
		atomic.StoreUint32(&j.ended, 1)
	}
	j.submitted = now()
	p.submit(j)
	for ended := false; !ended; ended = atomic.LoadUint32(&j.ended) != 0 {
		time.Sleep(time.Duration(options["pause_us"]) * time.Microsecond)
	}
}

func idle(p pool) {
	jobs := make([]job, options["tasks"])
	for i := 0; i < idleWarm; i++ {
		waitOfOne(p, new(job))
	}
	for i := range jobs {
		waitOfOne(p, &jobs[i])
	}
	sayLatencies(jobs)
}

func sleeping(p pool) {
	sleeper := &job{run: func(*job) { time.Sleep(sleepTime) }}
	pass := func() float64 {
		return submitAll(p, options["tasks"], 1, time.Millisecond, func(int) *job { return sleeper }).Seconds()
	}
	say("cold", pass())
	say("warm", pass())
	sayPeakMemory()
}

func fib(n uint) uint {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func fibonacci(p pool) {
	var sink uint64
	jobs := make([]job, options["tasks"])
	for i := range jobs {
		jobs[i].run = func(*job) { atomic.AddUint64(&sink, uint64(fib(fibOf))) }
	}
	var walls []float64
	for i := 0; i < fibRepeats; i++ {
		wall := submitAll(p, len(jobs), 1, endPoll, func(i int) *job { return &jobs[i] })
		walls = append(walls, wall.Seconds())
	}
	sort.Float64s(walls)
	say("wall", walls[fibRepeats/2])
}

func mixedTask(j *job) {
	noteWait(j)
	if j.blocks {
		time.Sleep(sleepTime)
		return
	}
	for end := now() + microsecond; now() < end; {
	}
}

func mixed(p pool) {
	jobs := make([]job, options["tasks"])
	for i := range jobs {
		jobs[i] = job{run: mixedTask, blocks: i%options["every"] == 0}
	}
	sleepExactly()
	start := now()
	wanted := ends() + uint64(len(jobs))
	for i := range jobs {
		due := start + int64(i)*1e9/int64(options["rate"])
		if now() < due {
			sleepUntil(due)
		}
		jobs[i].submitted = now()
		p.submit(&jobs[i])
	}
	taken := now() - start
	waitForEnds(wanted, time.Millisecond)
	sayLatencies(jobs)
	say("pace", float64(len(jobs))/float64(taken)*1e6)
}

func main() {
	systems := map[string]func(workers, bound int) pool{
		"go-buffered": newBufferedPool, "go-chan": newChanPool, "go-stack": newStackPool,
	}
	workloads := map[string]func(pool){
		"empty": empty, "idle": idle, "sleep": sleeping, "fib": fibonacci, "mixed": mixed,
	}
	if len(os.Args) < 3 || systems[os.Args[1]] == nil || workloads[os.Args[2]] == nil {
		die("usage: pool-go go-buffered|go-chan|go-stack empty|idle|sleep|fib|mixed [NAME=VALUE ...]")
	}
	for _, text := range os.Args[3:] {
		name, value, _ := strings.Cut(text, "=")
		number, err := strconv.Atoi(value)
		if _, known := options[name]; !known || err != nil {
			die("an option is not known; see main.go: " + text)
		}
		options[name] = number
	}
	workloads[os.Args[2]](systems[os.Args[1]](options["threads"], options["bound"]))
}
