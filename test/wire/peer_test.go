//go:build linux

package wire

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

const (
	programPortmap = 100000
	programNFS     = 100003
	programMount   = 100005
	programLocks   = 100021
	programStatus  = 100024

	// replyTime is how long a reply may take, and silence how long to wait for one that is not to come.
	replyTime = 10 * time.Second
	silence   = 100 * time.Millisecond
	maxReply  = 2 << 20
)

// peer is a client of the appliance.
type peer struct {
	network string
	conn    net.Conn
	next    uint32 // XID
}

func dial(t *testing.T, network, from, port string) *peer {
	t.Helper()
	var d net.Dialer
	if network == "tcp" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	} else {
		d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.DialContext(t.Context(), network, net.JoinHostPort(server, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &peer{network: network, conn: conn, next: rand.Uint32()}
}

// call is a call, of RPC version 2 with the credential of a user unless it says otherwise.
type call struct {
	program, version, proc uint32
	args                   []byte
	flavor                 uint32
	credential             []byte
	rpcVersion             uint32
}

// user is a credential of AUTH_SYS.
var user = sysCredential("client", 2)

func sysCredential(machine string, groups int) []byte {
	b := xdr.AppendOpaque(words(77), machine)
	b = xdr.AppendWords(b, 1000, 1000, uint32(groups))
	return append(b, make([]byte, 4*groups)...)
}

func words(v ...uint32) []byte { return xdr.AppendWords(nil, v...) }

// record returns a call as it is sent.
func (c call) record(xid uint32) []byte {
	flavor, credential := c.flavor, c.credential
	if credential == nil && flavor == 0 {
		flavor, credential = rpc.AuthSys, user
	}
	b := words(xid, 0, cmp.Or(c.rpcVersion, 2), c.program, c.version, c.proc, flavor)
	b = xdr.AppendOpaque(b, credential)
	return append(xdr.AppendWords(b, rpc.AuthNone, 0), c.args...)
}

// do makes a call and returns what came of it in words, and the result if there is one.
func (p *peer) do(t *testing.T, c call) (outcome string, result []byte) {
	t.Helper()
	return p.doWithin(t, c, replyTime)
}

func (p *peer) doWithin(t *testing.T, c call, limit time.Duration) (outcome string, result []byte) {
	t.Helper()
	p.next++
	if err := p.send(c.record(p.next)); err != nil {
		t.Fatalf("call %d of program %d: %v", c.proc, c.program, err)
	}
	return p.receive(t, p.next, limit)
}

func (p *peer) send(record []byte) error {
	if p.network == "tcp" {
		return rpc.WriteRecord(p.conn, record)
	}
	_, err := p.conn.Write(record)
	return err
}

// receive returns what came of a call in words, and the result if there is one.
func (p *peer) receive(t *testing.T, xid uint32, limit time.Duration) (outcome string, result []byte) {
	t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	var reply []byte
	var err error
	if p.network == "tcp" {
		reply, err = rpc.ReadRecord(p.conn, maxReply)
	} else {
		b := make([]byte, 64<<10)
		var n int
		n, err = p.conn.Read(b)
		reply = b[:n]
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silence", nil
	case err != nil:
		return "end of the connection", nil
	}
	d := xdr.NewDecoder(reply)
	if got, kind := d.Uint32(), d.Uint32(); got != xid || kind != 1 {
		t.Fatalf("a reply %d of kind %d to call %d", got, kind, xid)
	}
	outcome = describe(&d)
	if d.Err() != nil {
		t.Fatalf("the reply is cut off: %x", reply)
	}
	return outcome, d.Rest()
}

// describe says what a reply is, as far as the result.
func describe(d *xdr.Decoder) string {
	if d.Uint32() == 1 {
		if d.Uint32() == 0 {
			return fmt.Sprintf("RPC version mismatch %d-%d", d.Uint32(), d.Uint32())
		}
		return fmt.Sprintf("auth error %d", d.Uint32())
	}
	d.Uint32() // the verifier
	d.Opaque(400)
	switch status := d.Uint32(); status {
	case 0:
		return "success"
	case 1:
		return "no program"
	case 2:
		return fmt.Sprintf("version mismatch %d-%d", d.Uint32(), d.Uint32())
	case 3:
		return "no procedure"
	case 4:
		return "garbage"
	default:
		return fmt.Sprintf("accept status %d", status)
	}
}

// want makes a call and checks what comes of it. Of a result it checks the first word; "void" is for
// none, and "success" for any.
func (p *peer) want(t *testing.T, what string, c call, want string) (result []byte) {
	t.Helper()
	limit := replyTime
	if want == "silence" {
		limit = silence
	}
	outcome, result := p.doWithin(t, c, limit)
	got := outcome
	if outcome == "success" && want != "success" {
		got = "void"
		if len(result) > 0 {
			d := xdr.NewDecoder(result)
			got = statusName(c.program, d.Uint32())
		}
	}
	if got != want {
		t.Errorf("%s (program %d version %d procedure %d, %s): %s, want %s", what, c.program, c.version, c.proc, p.network, got, want)
	}
	return result
}

// statusName names the status of a result.
func statusName(program, status uint32) string {
	name := map[uint32]string{
		0: "OK", 2: "NOENT", 5: "IO", 13: "ACCES", 20: "NOTDIR", 21: "ISDIR", 22: "INVAL", 30: "ROFS",
		63: "NAMETOOLONG", 70: "STALE", 10005: "TOOSMALL", 10008: "JUKEBOX",
	}[status]
	if program != programNFS && program != programMount || name == "" {
		return fmt.Sprint(status)
	}
	return name
}

// mount returns the handle of a folder.
func (p *peer) mount(t *testing.T, path string) []byte {
	t.Helper()
	result := p.want(t, "MNT "+path, call{program: programMount, version: 3, proc: 1, args: opaque(path)}, "OK")
	d := xdr.NewDecoder(result)
	d.Uint32()
	return d.Opaque(64)
}

// lookup returns the handle of what has a name in a folder.
func (p *peer) lookup(t *testing.T, dir []byte, name string) []byte {
	t.Helper()
	result := p.want(t, "LOOKUP "+name, nfs(3, opaque(dir), opaque(name)), "OK")
	d := xdr.NewDecoder(result)
	d.Uint32()
	return d.Opaque(64)
}
