package mount

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
)

// FuzzMount calls procedures with any arguments. There is a reply to each call, just as RFC 1813 has it.
func FuzzMount(f *testing.F) {
	for _, p := range []string{"", "/", "/films", "films//a torrent/", "/films/single.iso", "/films/broken/x", "/\xff", strings.Repeat("/x", 20)} {
		for proc := range uint32(8) {
			f.Add(uint32(3), proc, false, path(p))
			f.Add(uint32(1), proc, true, path(p))
			f.Add(uint32(2), proc, false, path(p)[:len(p)])
		}
	}
	v := serve(f, library(f, damaged))
	wires := map[bool]*wire{false: v.dial("tcp", friend), true: v.dial("udp", stranger)}
	f.Fuzz(func(t *testing.T, version, proc uint32, strange bool, args []byte) {
		if len(args) > 3000 {
			return // longer than what strangers may send
		}
		version, proc = version%3+1, proc%8
		w := wires[strange]
		w.t = t
		if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		got := w.call(version, proc, args)
		if strange && proc > procMnt {
			if !bytes.Equal(got, tooWeak) {
				t.Errorf("version %d, procedure %d: %x", version, proc, got)
			}
			return
		}
		result, ok := bytes.CutPrefix(got, accepted(rpc.Success))
		if !ok {
			last := uint32(procExport)
			if version < 3 {
				last = procExportV1
			}
			garbage := bytes.Equal(got, accepted(rpc.GarbageArgs)) && (proc == procMnt || proc == procUmnt)
			missing := bytes.Equal(got, accepted(rpc.ProcedureUnavailable)) && proc > last
			if !garbage && !missing {
				t.Errorf("version %d, procedure %d: %x", version, proc, got)
			}
			return
		}
		if err := checkResult(version, proc, strange, result); err != nil {
			t.Errorf("version %d, procedure %d: %v: %x", version, proc, err, result)
		}
	})
}

// checkResult says what is wrong with a result, if anything.
func checkResult(version, proc uint32, strange bool, result []byte) (err error) {
	s := &strict{rest: result}
	switch proc {
	case procMnt:
		status := s.u32()
		switch {
		case status != 0:
		case version < 3:
			s.take(32)
		default:
			s.string(64)
			for range s.u32() {
				s.u32()
			}
		}
		if strange && status != statusAccess {
			s.u32() // which is not there
		}
	case procDump:
		_, err := parseDump(result)
		return err
	case procExport, procExportV1:
		_, err := parseExports(result)
		return err
	}
	return s.end()
}
