//go:build !unix

package rpc

import "net"

func newEager(tcp *net.TCPConn) (net.Conn, error) { return tcp, nil }
