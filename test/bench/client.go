//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// clientRole is the argument of the program that measures; its task is on standard input, in JSON, and
// what it measured on standard output.
const clientRole = "as-client"

// clientDebug keeps the runtime of a client from signalling it every 10 ms, so that other goroutines,
// which it has not, have their turn.
const clientDebug = "GODEBUG=asyncpreemptoff=1"

// target is a server, as a client sees it.
type target struct {
	Name       string
	PID        int    // in the namespace
	NFS, Mount string // addresses
	Top        string // what to mount, which holds the file and the folder
}

// task is what a client has to do.
type task struct {
	Target   target
	Workload string
	Name     string // path of the file that is read, below Top
	File     string // its original
	Size     int64
	Entries  int
	Page     int
	Time     time.Duration
	Round    int
	Discard  bool
	Course   course
	Places   places
}

// outcome is what it did.
type outcome struct {
	measured

	Dtpref int  // what the server says of folders
	Pace   pace // of a course
}

// client carries out one task.
func client(in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	// One thread, and no pauses: what there is to allocate is allocated before.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	s, err := mount(t)
	if err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	o, err := s.work()
	if err := errors.Join(err, s.close()); err != nil {
		return fmt.Errorf("%s: %w", t.Workload, err)
	}
	return json.NewEncoder(out).Encode(o)
}

// session is a mounted server.
type session struct {
	*conn
	task

	file, folder []byte // handles
	dtpref       int
}

// mount gets the handles of the file and the folder.
func mount(t task) (*session, error) {
	m, err := dial(t.Target.Mount)
	if err != nil {
		return nil, err
	}
	defer func() { _ = m.close() }()
	reply, err := m.call(programMount, procMount, appendOpaque(nil, t.Target.Top))
	if err != nil {
		return nil, fmt.Errorf("MNT %s: %w", t.Target.Top, err)
	}
	root := append([]byte(nil), reply.opaque()...)
	if reply.err != nil {
		return nil, reply.err
	}
	c, err := dial(t.Target.NFS)
	if err != nil {
		return nil, err
	}
	s := &session{conn: c, task: t}
	s.file = root
	for name := range strings.SplitSeq(t.Name, "/") {
		if s.file, err = s.lookup(s.file, name); err != nil {
			break
		}
	}
	if err == nil && t.Entries > 0 {
		s.folder, err = s.lookup(root, folderName)
	}
	if err == nil {
		err = s.fsinfo(root)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return s, nil
}

func (s *session) lookup(dir []byte, name string) ([]byte, error) {
	reply, err := s.call(programNFS, procLookup, appendOpaque(appendOpaque(nil, dir), name))
	if err != nil {
		return nil, fmt.Errorf("LOOKUP %s: %w", name, err)
	}
	handle := append([]byte(nil), reply.opaque()...)
	return handle, reply.err
}

// fsinfo notes what the server prefers, and checks that it can be read in the steps that are measured.
func (s *session) fsinfo(root []byte) error {
	reply, err := s.call(programNFS, procFsinfo, appendOpaque(nil, root))
	if err != nil {
		return fmt.Errorf("FSINFO: %w", err)
	}
	reply.attributes()
	rtmax := reply.uint32()
	reply.take(5 * 4) // rtpref, rtmult, wtmax, wtpref, wtmult
	s.dtpref = int(reply.uint32())
	if reply.err == nil && rtmax < largeRead {
		return fmt.Errorf("FSINFO: READs of %d bytes are too large, as %d is the limit", largeRead, rtmax)
	}
	return reply.err
}

// work does what the task says.
func (s *session) work() (outcome, error) {
	o := outcome{Dtpref: s.dtpref}
	if s.Workload == courseWorkload.name {
		var err error
		o.Pace, err = s.follow()
		return o, err
	}
	w, err := workloadNamed(s.Workload)
	if err != nil {
		return o, err
	}
	o.measured, err = w.do(s)
	return o, err
}

// clocks are CPU times.
type clocks struct{ server, client time.Duration }

func (s *session) clocks() (clocks, error) {
	server, err := cpuTime(s.Target.PID)
	if err != nil {
		return clocks{}, err
	}
	client, err := cpuTime(os.Getpid())
	return clocks{server, client}, err
}

// since notes in m the CPU time since before.
func (m *measured) since(before, after clocks) {
	m.ServerCPU, m.ClientCPU = after.server-before.server, after.client-before.client
}

// workloadNamed finds a workload.
func workloadNamed(name string) (workload, error) {
	for _, w := range append(workloads(), probeWorkload, verifyWorkload, smallWorkload, placesWorkload, namesWorkload) {
		if w.name == name {
			return w, nil
		}
	}
	return workload{}, errors.New("there is no such workload: " + strings.TrimSpace(name))
}
