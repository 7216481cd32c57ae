// The three designs of pools that Go programs use, in a few lines each.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// pool runs each job once, on one of its workers. submit blocks when it can take no more.
type pool interface {
	submit(*job)
}

// bufferedPool is a buffered channel with a fixed number of workers that receive from it.
type bufferedPool struct {
	queue chan *job
}

func newBufferedPool(workers, bound int) pool {
	p := &bufferedPool{queue: make(chan *job, bound)}
	for i := 0; i < workers; i++ {
		go p.work()
	}
	return p
}

func (p *bufferedPool) submit(j *job) { p.queue <- j }

func (p *bufferedPool) work() {
	c := newCounter()
	for j := range p.queue {
		perform(j, c)
	}
}

// spinLock is held for a few instructions only; who finds it taken lets others run.
type spinLock uint32

func (l *spinLock) Lock() {
	for !atomic.CompareAndSwapUint32((*uint32)(l), 0, 1) {
		runtime.Gosched()
	}
}

func (l *spinLock) Unlock() { atomic.StoreUint32((*uint32)(l), 0) }

// stack is what both of the following pools have: the idle workers, the last one on top. They have no queue: a submitter
// that finds neither an idle worker nor room for another one waits for a worker. Workers start when they are needed.
type stack struct {
	lock         spinLock // protects everything below
	freed        *sync.Cond
	idle         []*worker
	started, max int
	waiting      int
}

// worker has a slot for the next job, or a channel that brings it.
type worker struct {
	slot  *job
	tasks chan *job
}

func (s *stack) init(max int) {
	s.freed = sync.NewCond(&s.lock)
	s.max = max
}

// take returns the worker that idled last, or nil: then the caller starts one.
func (s *stack) take() *worker {
	s.lock.Lock()
	defer s.lock.Unlock()
	for len(s.idle) == 0 {
		if s.started < s.max {
			s.started++
			return nil
		}
		s.waiting++
		s.freed.Wait()
		s.waiting--
	}
	w := s.idle[len(s.idle)-1]
	s.idle = s.idle[:len(s.idle)-1]
	return w
}

func (s *stack) put(w *worker) {
	s.lock.Lock()
	s.idle = append(s.idle, w)
	wake := s.waiting > 0
	s.lock.Unlock()
	if wake {
		s.freed.Signal()
	}
}

// stackPool puts the job into the slot of the worker on top and wakes whichever goroutine comes first, by a channel that
// all of them share; it then acts for that worker.
type stackPool struct {
	stack
	wake chan *worker
}

func newStackPool(workers, _ int) pool {
	p := &stackPool{wake: make(chan *worker)}
	p.init(workers)
	return p
}

func (p *stackPool) submit(j *job) {
	if w := p.take(); w != nil {
		w.slot = j
		p.wake <- w
	} else {
		go p.work(&worker{slot: j})
	}
}

func (p *stackPool) work(w *worker) {
	for c := newCounter(); ; w = <-p.wake {
		perform(w.slot, c)
		p.put(w)
	}
}

// chanPool gives the job to the worker on top by a channel of its own.
type chanPool struct {
	stack
}

func newChanPool(workers, _ int) pool {
	p := new(chanPool)
	p.init(workers)
	return p
}

func (p *chanPool) submit(j *job) {
	w := p.take()
	if w == nil {
		w = &worker{tasks: make(chan *job, 1)} // with room for one, the submitter need not wait until it has woken up
		go p.work(w)
	}
	w.tasks <- j
}

func (p *chanPool) work(w *worker) {
	c := newCounter()
	for j := range w.tasks {
		perform(j, c)
		p.put(w)
	}
}
