// The tasks of the Go systems, the count of their ends, and the clock: what job.c is to the systems in C.
//
// A job that keeps no notes is one and the same for all submissions, so the Go systems do not pay for an array of jobs.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// job is what travels through a pool.
type job struct {
	run       func(*job)
	submitted int64 // ns
	waited    int64 // ns
	blocks    bool
	ended     uint32
}

// counter counts the ends of one worker's jobs, in a line of cache of its own. Only its worker writes it.
type counter struct {
	ended uint64
	_     [56]byte
}

var counters struct {
	sync.Mutex
	all []*counter
}

func newCounter() *counter {
	c := new(counter)
	counters.Lock()
	counters.all = append(counters.all, c)
	counters.Unlock()
	return c
}

// perform runs a job on the worker that counts with c. The count is a plain addition: an atomic store is a locked
// instruction in Go, and C's systems pay for none here.
func perform(j *job, c *counter) {
	j.run(j)
	c.ended++
}

func ends() uint64 {
	counters.Lock()
	defer counters.Unlock()
	var sum uint64
	for _, c := range counters.all {
		sum += atomic.LoadUint64(&c.ended)
	}
	return sum
}

func waitForEnds(wanted uint64, poll time.Duration) {
	for ends() < wanted {
		time.Sleep(poll)
	}
}

var begun = time.Now()

func now() int64 { return int64(time.Since(begun)) }

// sleepUntil sleeps in the kernel: the runtime's own sleep is rounded up to a millisecond when all else is idle.
func sleepUntil(when int64) {
	ts := syscall.NsecToTimespec(when - now())
	syscall.Nanosleep(&ts, nil)
}

// sleepExactly makes the calling goroutine's kernel sleeps end when they should; it stays on its thread from here on.
func sleepExactly() {
	runtime.LockOSThread()
	const prSetTimerslack = 29
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerslack, uintptr(1), 0)
}

func die(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
