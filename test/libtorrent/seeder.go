//go:build linux

// Package libtorrent runs Debian's libtorrent 2.0 as a seeder in a process of its own, for programs that
// measure: it sends several hundred MB/s, where Transmission, which the tests download from, sends bursts.
// It needs the package python3-libtorrent.
package libtorrent

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

const (
	// Package is what it needs from Debian.
	Package = "python3-libtorrent"
	// Python is Debian's own interpreter, which has Debian's libtorrent; another one may come first in PATH.
	Python = "/usr/bin/python3"

	// answerTime is how long a seeder may take to answer.
	answerTime = 30 * time.Second
)

//go:embed seed.py
var script string

var (
	errEnded  = errors.New("the seeder has ended")
	errSilent = fmt.Errorf("the seeder does not answer for %v", answerTime)
)

// Seeder is one process. It ends with End, and with the program that started it. Its methods are safe for
// use by several goroutines.
type Seeder struct {
	process *os.Process
	in      io.WriteCloser
	answers chan []byte // closed when it has ended

	mu sync.Mutex // held from a request to its answer
}

// Buffers say how much a seeder has ready to send to each peer.
type Buffers string

const (
	// LargeBuffers suffice for the fastest reader of the same machine.
	LargeBuffers Buffers = "large"
	// UsualBuffers are libtorrent's, of a few hundred milliseconds: what is in them is sent though nobody wants it
	// any more, so that with large ones a seek through a narrow link takes as long as no seeder of the world makes it.
	UsualBuffers Buffers = "usual"
)

// Start runs a seeder that listens on a port of some addresses. It dials nobody.
func Start(buffers Buffers, port string, addresses ...string) (*Seeder, error) {
	cmd := exec.Command(Python, append([]string{"-c", script, string(buffers), port}, addresses...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a seeder: %w", err)
	}
	s := &Seeder{process: cmd.Process, in: in, answers: make(chan []byte, 1)}
	go func() {
		defer close(s.answers)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.answers <- append([]byte(nil), lines.Bytes()...)
		}
		_ = cmd.Wait() // it says itself what it misses
	}()
	return s, nil
}

// End ends it, at once, and waits for that.
func (s *Seeder) End() {
	_ = s.process.Kill() // it may have ended
	for range s.answers {
	}
	_ = s.in.Close() // nobody reads it
}

// Add has it seed the torrent in the file path, whose data is in dir, and returns the infohash. That the
// data is right is taken for granted.
func (s *Seeder) Add(path, dir string) (infohash string, err error) {
	return infohash, s.ask(map[string]string{"add": path, "dir": dir}, &infohash)
}

// Uploaded returns how many bytes of pieces it has sent of a torrent. It counts twice a second, so this
// waits until the number no longer changes.
func (s *Seeder) Uploaded(infohash string) (n int64, err error) {
	const tick = 600 * time.Millisecond
	for before := int64(-1); n != before; {
		before = n
		time.Sleep(2 * tick)
		if err := s.ask(map[string]string{"uploaded": infohash}, &n); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// ask sends a request, and decodes the answer.
func (s *Seeder) ask(request map[string]string, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("ask the seeder: %w", err)
	}
	select {
	case said, ok := <-s.answers:
		if !ok {
			return errEnded
		}
		return json.Unmarshal(said, answer)
	case <-time.After(answerTime):
		return errSilent
	}
}
