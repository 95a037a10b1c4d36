//go:build linux

// Command fcntl is to fcntl(2) what flock(1) is to flock(2): it runs a command while it holds a lock on a
// range of a file. It is for the Linux guest of the end-to-end tests.
//
//	fcntl wait|now|ask FILE OFFSET LENGTH [COMMAND...]
//
// The lock is a shared one, as only those who may write to the file may have another. wait waits for it;
// now exits with 1 if it is not to be had. ask runs nothing: it prints whether an exclusive lock could be
// had, "free" or "busy".
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fcntl:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: fcntl wait|now|ask FILE OFFSET LENGTH [COMMAND...]")

func run(args []string) error {
	if len(args) < 4 {
		return errUsage
	}
	offset, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	length, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return err
	}
	f, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_RDLCK, Start: offset, Len: length}
	switch args[0] {
	case "ask":
		lock.Type = unix.F_WRLCK
		if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
			return err
		}
		fmt.Println(map[bool]string{true: "free", false: "busy"}[lock.Type == unix.F_UNLCK])
		return nil
	case "now":
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock)
	case "wait":
		// Go's own signals interrupt it.
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &lock)
		}
	default:
		return errUsage
	}
	if err != nil {
		return err
	}
	if len(args) == 4 {
		return nil
	}
	cmd := exec.Command(args[4], args[5:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
