//go:build !unix

package rpc

import "net"

func newArrival(*net.TCPConn) (func(soon bool) error, error) { return nil, nil }
