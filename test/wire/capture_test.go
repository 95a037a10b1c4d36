//go:build linux

package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tsharkTime is how long tshark may look at a capture.
const tsharkTime = 2 * time.Minute

// recording is a capture of all that passes on the loopback interface.
type recording struct {
	file string
	cmd  *exec.Cmd
	said *bytes.Buffer
	done chan struct{} // closed when all that it says is in said

	onlyRPC []string // see guessOnlyRPC
}

// capture begins to record, and returns when it does.
func capture(t *testing.T) *recording {
	t.Helper()
	r := &recording{
		file: filepath.Join(t.TempDir(), "capture.pcapng"), said: &bytes.Buffer{}, done: make(chan struct{}), onlyRPC: guessOnlyRPC(t),
	}
	// A buffer of 64 MiB, as packets must not be lost.
	r.cmd = exec.Command("dumpcap", "-q", "-i", "lo", "-B", "64", "-w", r.file)
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			_ = r.cmd.Process.Kill()
			<-r.done
			_ = r.cmd.Wait()
		}
	})
	begun := make(chan struct{})
	go func() {
		defer close(r.done)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			fmt.Fprintln(r.said, lines.Text())
			if strings.HasPrefix(lines.Text(), "File: ") {
				close(begun)
			}
		}
	}()
	select {
	case <-begun:
	case <-r.done:
		t.Fatalf("dumpcap ended:\n%s", r.said)
	case <-deadline(t).Done():
		t.Fatal("dumpcap does not begin")
	}
	return r
}

// stop ends the recording when all that was sent before is in it.
func (r *recording) stop(t *testing.T) {
	t.Helper()
	const mark = "the end of the recording"
	conn := dial(t, "udp", clientAddr, "9").conn
	ctx := deadline(t)
	for recorded := false; !recorded; {
		if ctx.Err() != nil {
			t.Fatal("dumpcap does not record")
		}
		_, _ = conn.Write([]byte(mark)) // nobody listens, and so every second one fails
		time.Sleep(50 * time.Millisecond)
		b, err := os.ReadFile(r.file)
		if err != nil {
			t.Fatal(err)
		}
		recorded = bytes.Contains(b, []byte(mark))
	}
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-r.done
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("dumpcap: %v\n%s", err, r.said)
	}
	// "Packets received/dropped on interface 'lo': 3037/0 (...)"
	if !strings.Contains(r.said.String(), "/0 (") {
		t.Errorf("packets were lost:\n%s", r.said)
	}
}

// guessOnlyRPC returns arguments that keep tshark from taking a message for one of another protocol that goes by no port: the first bytes of
// a call are any, and one time in some thousands they are those of RTCP or its like.
func guessOnlyRPC(t *testing.T) (args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tsharkTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "tshark", "-G", "heuristic-decodes").Output()
	if err != nil {
		t.Fatalf("tshark -G heuristic-decodes: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		// Below which protocol, which one, and whether that is done: "udp	rtcp	T".
		f := strings.Fields(line)
		if len(f) == 3 && slices.Contains(networks, f[0]) && f[1] != "rpc" {
			args = append(args, "--disable-protocol", f[1])
		}
	}
	if len(args) == 0 {
		t.Fatal("tshark names no protocol that it guesses")
	}
	return args
}

// tshark returns what it says of the packets that a filter lets pass, a line each.
func (r *recording) tshark(t *testing.T, filter string, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tsharkTime)
	defer cancel()
	args = slices.Concat([]string{
		"-n", "-r", r.file, "-Y", filter, "-o", "rpc.dissect_unknown_programs:TRUE",
		// Our ports may be those of some other protocol.
		"-o", "tcp.try_heuristic_first:TRUE", "-o", "udp.try_heuristic_first:TRUE",
	}, r.onlyRPC, args)
	cmd := exec.CommandContext(ctx, "tshark", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark -Y %q: %v\n%s", filter, errors.Join(err, ctx.Err()), &complaint)
	}
	var lines []string
	for s := bufio.NewReader(bytes.NewReader(out)); ; {
		line, err := s.ReadString('\n')
		if line != "" {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
		if errors.Is(err, io.EOF) {
			return lines
		}
	}
}

// message is what tshark makes of an RPC message.
type message struct {
	fromServer             bool
	transport              string
	reply                  bool
	program, version, proc int
}

func (m message) String() string {
	kind := map[bool]string{false: "call", true: "reply"}[m.reply]
	from := map[bool]string{false: "client", true: "appliance"}[m.fromServer]
	return fmt.Sprintf("%s of program %d version %d procedure %d over %s by the %s", kind, m.program, m.version, m.proc, m.transport, from)
}

// checkCoverage checks that there is nothing missing in the recording: of each procedure of each version
// of each program over each transport, tshark has recognized calls and replies.
func (r *recording) checkCoverage(t *testing.T) {
	t.Helper()
	seen := make(map[message]int)
	fields := []string{"-T", "fields", "-E", "occurrence=f"}
	for _, f := range []string{"ip.src", "ip.proto", "rpc.msgtyp", "rpc.program", "rpc.programversion", "rpc.procedure"} {
		fields = append(fields, "-e", f)
	}
	for _, line := range r.tshark(t, "rpc", fields...) {
		f := strings.Split(line, "\t")
		var n [5]int
		for i := range n {
			n[i], _ = strconv.Atoi(f[i+1]) // an absent one is looked for in vain
		}
		transport := map[int]string{6: "tcp", 17: "udp"}[n[0]]
		seen[message{f[0] == server, transport, n[1] == 1, n[2], n[3], n[4]}]++
	}
	total := 0
	for _, m := range expected() {
		if seen[m] == 0 {
			t.Errorf("no %v", m)
		}
		total++
	}
	t.Logf("%d kinds of messages were to be there; there are %d", total, len(seen))
}

// expected are the messages that have to be there.
func expected() []message {
	upTo := func(last int, more ...int) []int {
		var all []int
		for i := range last + 1 {
			all = append(all, i)
		}
		return append(all, more...)
	}
	var all []message
	for _, transport := range networks {
		for _, p := range []struct {
			program, version int
			procs            []int
		}{
			{programNFS, 3, upTo(21)},
			{programMount, 1, upTo(6)},
			{programMount, 2, upTo(6)},
			{programMount, 3, upTo(5)},
			{programPortmap, 2, upTo(5)},
			{programPortmap, 3, upTo(8)},
			{programPortmap, 4, upTo(12)},
			{programLocks, 1, upTo(15)},
			{programLocks, 3, upTo(15, 20, 21, 22, 23)},
			{programLocks, 4, upTo(15, 20, 21, 22, 23)},
			{programStatus, 1, upTo(6)},
		} {
			for _, proc := range p.procs {
				all = append(all,
					message{false, transport, false, p.program, p.version, proc},
					message{true, transport, true, p.program, p.version, proc})
			}
		}
	}
	return slices.Concat(all, callbacks())
}

// callbacks are calls by the appliance.
func callbacks() []message {
	var all []message
	for _, version := range []int{1, 3, 4} {
		for _, proc := range []int{lockGranted, lockGrantedMsg, lockTestRes, 12, 13, 14, lockGrantedRes} {
			all = append(all, message{true, "udp", false, programLocks, version, proc})
		}
	}
	return append(all, message{true, "udp", false, programPortmap, 2, 3})
}

// misunderstood is what tshark cannot make sense of: what is malformed or draws a warning, apart from how
// TCP fares, and bytes that belong to nothing. Replies to calls of another RPC version are among those, as
// tshark does not know the calls.
const misunderstood = "(_ws.malformed || _ws.expert.severity >= 0x00600000 && !tcp.analysis.flags || data &&" +
	" !(data.data[4:] == 00:00:00:01:00:00:00:01:00:00:00:00:00:00:00:02:00:00:00:02))"

// checkReplies checks that tshark understands all that the appliance says, to the last byte.
func (r *recording) checkReplies(t *testing.T) {
	t.Helper()
	// What a client is told by ICMP of its own datagrams is not the appliance's.
	bad := r.tshark(t, "ip.src == "+server+" && !icmp && "+misunderstood, "-V", "-O", "rpc,nfs,mount,portmap,nlm,stat,data")
	if len(bad) > 0 {
		t.Errorf("tshark does not understand the appliance:\n%s", strings.Join(bad[:min(len(bad), 200)], "\n"))
	}
	if n := len(r.tshark(t, "ip.src == "+liar+" && rpc.msgtyp == 1")); n != 2*len(lies()) {
		t.Errorf("tshark sees %d wrong replies, want %d", n, 2*len(lies()))
	}
	if n := len(r.tshark(t, "ip.src == "+liar+" && rpc.msgtyp == 1 && "+misunderstood)); n != 2*len(lies()) {
		t.Errorf("of %d wrong replies, tshark takes %d for wrong", 2*len(lies()), n)
	}
}
