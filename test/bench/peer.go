//go:build linux

package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// python is Debian's own interpreter, which has Debian's libtorrent; another one may come first in PATH.
const python = "/usr/bin/python3"

//go:embed seed.py
var seedScript string

const (
	seederPort = "20680"
	seederAddr = "127.0.0.1:" + seederPort
	// answerTime is how long a seeder may take to answer.
	answerTime = 30 * time.Second
)

// seeder is a libtorrent that has everything, in a process of its own.
type seeder struct {
	process *os.Process
	in      io.Writer
	answers chan []byte // closed when it ends
}

// startSeeder runs one. It ends with the namespaces, or with end.
func startSeeder() (*seeder, error) {
	cmd := exec.Command(python, "-c", seedScript, seederPort)
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
	s := &seeder{process: cmd.Process, in: in, answers: make(chan []byte)}
	go func() {
		defer close(s.answers)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.answers <- append([]byte(nil), lines.Bytes()...)
		}
		_ = cmd.Wait() // it says itself what it misses
	}()
	return s, nil
}

// ask sends a request, and decodes the answer.
func (s *seeder) ask(request map[string]string, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := s.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("ask the seeder: %w", err)
	}
	select {
	case said, ok := <-s.answers:
		if !ok {
			return errors.New("the seeder has ended")
		}
		return json.Unmarshal(said, answer)
	case <-time.After(answerTime):
		return fmt.Errorf("the seeder does not answer for %v", answerTime)
	}
}

// add has it seed a torrent whose data is in dir.
func (s *seeder) add(torrent *source, dir string) error {
	var infohash string
	path, err := filepath.Abs(torrent.path)
	if err != nil {
		return err
	}
	if err := s.ask(map[string]string{"add": path, "dir": dir}, &infohash); err != nil {
		return err
	}
	if infohash != torrent.infohash {
		return fmt.Errorf("the seeder knows %s as %s", torrent.infohash, infohash)
	}
	return nil
}

// uploaded returns how many bytes of pieces it has sent of a torrent. It counts twice a second, so that
// is waited for.
func (s *seeder) uploaded(torrent *source) (n int64, err error) {
	const tick = 600 * time.Millisecond
	for before := int64(-1); n != before; {
		before = n
		time.Sleep(2 * tick)
		if err := s.ask(map[string]string{"uploaded": torrent.infohash}, &n); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// end ends it, at once.
func (s *seeder) end() {
	_ = s.process.Kill() // it may have ended
	for range s.answers {
	}
}
