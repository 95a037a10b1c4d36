//go:build !linux

package rpc

import (
	"io"
	"net"
	"os"
)

// sendFile sends head and then length bytes of file.
func sendFile(conn *net.TCPConn, head []byte, file *os.File, offset int64, length int, _ func() error) error {
	if _, err := conn.Write(head); err != nil {
		return err
	}
	n, err := io.Copy(conn, io.NewSectionReader(file, offset, int64(length)))
	if err == nil && n < int64(length) {
		err = io.ErrUnexpectedEOF // the file is shorter than it was
	}
	return err
}
