package rpc

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// sendFile sends head and then length bytes of file, which the kernel takes from its page cache:
// nothing of them is copied here. extend is called when the client has received some.
func sendFile(conn *net.TCPConn, head []byte, file *os.File, offset int64, length int, extend func() error) error {
	to, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	from, err := file.SyscallConn()
	if err != nil {
		return err
	}
	// The head goes into the segments that the data fills.
	if err := sendMore(to, head); err != nil {
		return err
	}
	var sendErr error
	whole, waited := length, length
	// Within Control the file cannot be closed, and its number not be given to another.
	err = from.Control(func(src uintptr) {
		err := to.Write(func(dst uintptr) bool {
			for length > 0 {
				n, err := syscall.Sendfile(int(dst), int(src), &offset, length)
				switch {
				case err == syscall.EAGAIN:
					if length < waited {
						waited = length
						if sendErr = extend(); sendErr != nil {
							return true
						}
					}
					return false // wait until the client has received some
				case err == syscall.EINTR:
					continue
				case err != nil:
					sendErr = os.NewSyscallError("sendfile", err)
					return true
				case n == 0:
					sendErr = io.ErrUnexpectedEOF // the file is shorter than it was
					return true
				}
				length -= n
			}
			return true
		})
		if sendErr == nil {
			sendErr = err
		}
	})
	if err != nil {
		return err
	}
	// Not all file systems can do it.
	if length == whole && (errors.Is(sendErr, syscall.EINVAL) || errors.Is(sendErr, syscall.EOPNOTSUPP)) {
		return copyFile(conn, file, offset, length)
	}
	return sendErr
}

// copyFile is sendFile for what the kernel cannot send by itself.
func copyFile(conn *net.TCPConn, file *os.File, offset int64, length int) error {
	n, err := io.Copy(struct{ io.Writer }{conn}, io.NewSectionReader(file, offset, int64(length)))
	if err == nil && n < int64(length) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// sendMore sends b and says that more is to come at once.
func sendMore(to syscall.RawConn, b []byte) error {
	var sendErr error
	err := to.Write(func(fd uintptr) bool {
		for len(b) > 0 {
			n, err := syscall.SendmsgN(int(fd), b, nil, nil, syscall.MSG_MORE|syscall.MSG_NOSIGNAL)
			switch {
			case err == syscall.EAGAIN:
				return false
			case err == syscall.EINTR:
				continue
			case err != nil:
				sendErr = os.NewSyscallError("sendmsg", err)
				return true
			}
			b = b[n:]
		}
		return true
	})
	if sendErr != nil {
		return sendErr
	}
	return err
}
