//go:build linux

package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// lies are results of GETATTR that no server should send: tshark has to find out.
func lies() [][]byte {
	attributes := slices.Concat(words(1, 0o444, 1, 0, 0), make([]byte, 64))
	return [][]byte{
		slices.Concat(words(0), attributes[:40]),      // cut off
		slices.Concat(words(0), attributes, words(0)), // four bytes too long, as the FSSTAT of go-nfs is
		words(0), // nothing
	}
}

// lie calls a server that answers with lies, so that it can be seen whether tshark finds them among good
// replies.
func lie(t *testing.T) {
	t.Helper()
	for _, network := range networks {
		ours, theirs := converse(t, network)
		for i, result := range lies() {
			call := nfs(1, opaque(make([]byte, 32))).record(uint32(i + 1))
			reply := append(words(uint32(i+1), 1, 0, 0, 0, 0), result...)
			if network == "tcp" {
				call, reply = framed(call), framed(reply)
			}
			pass(t, ours, theirs, call)
			pass(t, theirs, ours, reply)
		}
	}
}

func framed(record []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(record))|1<<31), record...)
}

// converse connects the client to the liar, and returns both ends.
func converse(t *testing.T, network string) (ours, theirs net.Conn) {
	t.Helper()
	at := net.JoinHostPort(liar, nfsPort)
	if network == "udp" {
		a := &net.UDPAddr{IP: net.ParseIP(clientAddr), Port: 3000}
		b := &net.UDPAddr{IP: net.ParseIP(liar), Port: 2049}
		var err, other error
		ours, err = net.DialUDP(network, a, b)
		theirs, other = net.DialUDP(network, b, a)
		if err := errors.Join(err, other); err != nil {
			t.Fatal(err)
		}
	} else {
		l, err := net.Listen(network, at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientAddr)}}
		if ours, err = d.DialContext(t.Context(), network, at); err != nil {
			t.Fatal(err)
		}
		if theirs, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// pass sends a message from one end to the other.
func pass(t *testing.T, from, to net.Conn, message []byte) {
	t.Helper()
	_, err := from.Write(message)
	err = errors.Join(err, to.SetReadDeadline(time.Now().Add(replyTime)))
	if err == nil {
		_, err = io.ReadFull(to, make([]byte, len(message)))
	}
	if err != nil {
		t.Fatal(err)
	}
}
