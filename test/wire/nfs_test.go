//go:build linux

package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"shoal/nfsfs/xdr"
)

func opaque[T string | []byte](v T) []byte { return xdr.AppendOpaque(nil, v) }

func long(v uint64) []byte { return xdr.AppendUint64(nil, v) }

// nfs is a call of NFS version 3.
func nfs(proc uint32, args ...[]byte) call {
	return call{program: programNFS, version: 3, proc: proc, args: bytes.Join(args, nil)}
}

var (
	noAttr = words(0, 0, 0, 0, 0, 0)
	// allAttr sets all that there is, the times to what the client says.
	allAttr = slices.Concat(words(1, 0o600, 1, 1000, 1, 1000, 1), long(5), words(2, 1, 2, 2, 3, 4))
)

// procedures are those of NFS version 3 but NULL, with arguments in which a handle comes first, and what
// comes of them for the handle of a file and of a folder.
var procedures = []struct {
	proc         uint32
	rest         []byte
	file, folder string
}{
	{1, nil, "OK", "OK"}, // GETATTR
	{2, slices.Concat(noAttr, words(0)), "ROFS", "ROFS"},
	{3, opaque("file"), "NOTDIR", "OK"}, // LOOKUP
	{4, words(0x3f), "OK", "OK"},
	{5, nil, "INVAL", "INVAL"},                             // READLINK
	{6, slices.Concat(long(1), words(999)), "OK", "INVAL"}, // READ
	{7, slices.Concat(long(0), words(3, 2), opaque("abc")), "ROFS", "ROFS"},
	{8, slices.Concat(opaque("new"), words(0), noAttr), "ROFS", "ROFS"}, // CREATE
	{9, slices.Concat(opaque("new"), noAttr), "ROFS", "ROFS"},
	{10, slices.Concat(opaque("new"), noAttr, opaque("file")), "ROFS", "ROFS"}, // SYMLINK
	{11, slices.Concat(opaque("new"), words(7), noAttr), "ROFS", "ROFS"},       // MKNOD
	{12, opaque("file"), "ROFS", "ROFS"},                                       // REMOVE
	{13, opaque("file"), "ROFS", "ROFS"},                                       // RMDIR
	{16, slices.Concat(long(0), long(0), words(4096)), "NOTDIR", "OK"},         // READDIR
	{17, slices.Concat(long(0), long(0), words(1024, 8192)), "NOTDIR", "OK"},   // READDIRPLUS
	{18, nil, "OK", "OK"},                                                      // FSSTAT
	{19, nil, "OK", "OK"},                                                      // FSINFO
	{20, nil, "OK", "OK"},                                                      // PATHCONF
	{21, slices.Concat(long(0), words(0)), "ROFS", "ROFS"},                     // COMMIT
}

// callNFS makes all calls of NFS.
func callNFS(t *testing.T, p *peer, h *handles) {
	t.Helper()
	p.want(t, "NULL", nfs(0), "void")
	for _, proc := range procedures {
		for _, with := range []struct {
			what   string
			handle []byte
			want   string
		}{
			{"of a file", h.file, proc.file},
			{"of a folder", h.album, proc.folder},
			{"of what is gone", h.removed, "STALE"},
			{"of nothing", bytes.Repeat([]byte{0xff}, 32), "STALE"},
			{"with a short handle", []byte{1, 2, 3}, "STALE"},
			{"without a handle", nil, "STALE"},
			{"with a long handle", make([]byte, 64), "STALE"},
			{"with a handle that is too long", make([]byte, 65), "garbage"},
		} {
			p.want(t, with.what, nfs(proc.proc, opaque(with.handle), proc.rest), with.want)
		}
		whole := nfs(proc.proc, opaque(h.file), proc.rest)
		whole.args = whole.args[:len(whole.args)-4]
		p.want(t, "cut off", whole, "garbage")
		p.want(t, "without arguments", nfs(proc.proc), "garbage")
	}
	callTwoHandles(t, p, h)
	callReads(t, p, h)
	callNames(t, p, h)
	callFolders(t, p, h)
	callChanges(t, p, h)
}

// callTwoHandles makes the calls with two handles.
func callTwoHandles(t *testing.T, p *peer, h *handles) {
	t.Helper()
	bad := make([]byte, 32)
	rename := func(from, to []byte) call { return nfs(14, opaque(from), opaque("file"), opaque(to), opaque("new")) }
	link := func(file, dir []byte) call { return nfs(15, opaque(file), opaque(dir), opaque("new")) }
	p.want(t, "RENAME", rename(h.album, h.album), "ROFS")
	p.want(t, "RENAME from nothing", rename(bad, h.album), "STALE")
	p.want(t, "RENAME to nothing", rename(h.album, bad), "STALE")
	p.want(t, "RENAME cut off", nfs(14, opaque(h.album), opaque("file"), opaque(h.album)), "garbage")
	p.want(t, "LINK", link(h.file, h.album), "ROFS")
	p.want(t, "LINK of nothing", link(bad, h.album), "STALE")
	p.want(t, "LINK into nothing", link(h.file, bad), "STALE")
	p.want(t, "LINK cut off", nfs(15, opaque(h.file), opaque(h.album)), "garbage")
}

// callReads reads at all kinds of places.
func callReads(t *testing.T, p *peer, h *handles) {
	t.Helper()
	size := uint64(len(content()))
	for _, at := range []struct {
		offset uint64
		count  uint32
	}{
		{0, 0},
		{0, 1},
		{0, 2},
		{0, 3},
		{5, 8},
		{0, 32 << 10},
		{1, 32<<10 - 3},
		{size - 5, 100},
		{size - 1, 1},
		{size, 1},
		{size + 1, 1},
		{1 << 63, 10},
		{1<<64 - 1, 10},
		{100, 1 << 20},
		{0, 1<<32 - 1},
		{size - 100_001, 200_000},
	} {
		result := p.want(t, fmt.Sprintf("READ %d at %d", at.count, at.offset), nfs(6, opaque(h.file), long(at.offset), words(at.count)), "OK")
		checkData(t, result, at.offset, at.count)
	}
	p.want(t, "READ of an empty file", nfs(6, opaque(h.empty), long(0), words(10)), "OK")
	p.want(t, "READ of what nobody has", nfs(6, opaque(h.dead), long(0), words(10)), "JUKEBOX")
}

// checkData checks that a READ returns what is in the file, and says whether that is its end.
func checkData(t *testing.T, result []byte, offset uint64, count uint32) {
	t.Helper()
	const before = 4 + 4 + 84 // status and attributes
	all := content()
	d := xdr.NewDecoder(result)
	d.Fixed(before)
	n, eof, data := d.Uint32(), d.Bool(), d.Opaque(maxReply)
	if d.Err() != nil || len(d.Rest()) != 0 || int(n) != len(data) {
		t.Errorf("READ %d at %d: a reply of %d bytes that does not fit together", count, offset, len(result))
		return
	}
	at := min(offset, uint64(len(all)))
	end := at + uint64(len(data))
	if len(data) > int(count) || end > uint64(len(all)) || !bytes.Equal(data, all[at:end]) || len(data) == 0 && count > 0 && at < end {
		t.Errorf("READ %d at %d: %d bytes that are not in the file", count, offset, len(data))
	}
	if eof != (end == uint64(len(all))) {
		t.Errorf("READ %d at %d: %d bytes, and the end of the file is %v", count, offset, len(data), eof)
	}
}

// callNames looks up all kinds of names.
func callNames(t *testing.T, p *peer, h *handles) {
	t.Helper()
	for name, want := range map[string]string{
		".": "OK", "..": "OK", "empty": "OK", "": "NOENT", "nope": "NOENT", "a/b": "NOENT", "a\x00b": "NOENT",
		"\xff\xfe": "NOENT", strings.Repeat("n", 255): "NOENT", strings.Repeat("n", 256): "NAMETOOLONG",
	} {
		p.want(t, fmt.Sprintf("LOOKUP %.20q", name), nfs(3, opaque(h.album), opaque(name)), want)
	}
	p.want(t, "LOOKUP above the root", nfs(3, opaque(h.root), opaque("..")), "OK")
	p.want(t, "LOOKUP without end", nfs(3, opaque(h.album), opaque(strings.Repeat("n", 5000))), "garbage")
}

// callFolders lists folders in pages of all sizes.
func callFolders(t *testing.T, p *peer, h *handles) {
	t.Helper()
	for _, dir := range [][]byte{h.root, h.route, h.album} {
		for _, cookie := range []uint64{0, 1, 2, 3, 1 << 40, 1<<64 - 1} {
			for _, count := range []uint32{512, 4096, 64 << 10, 1<<32 - 1} {
				p.want(t, "READDIR", nfs(16, opaque(dir), long(cookie), long(7), words(count)), "OK")
				p.want(t, "READDIRPLUS", nfs(17, opaque(dir), long(cookie), long(7), words(count, count)), "OK")
			}
		}
	}
	p.want(t, "READDIR of next to nothing", nfs(16, opaque(h.album), long(0), long(0), words(100)), "TOOSMALL")
	p.want(t, "READDIRPLUS of next to nothing", nfs(17, opaque(h.album), long(0), long(0), words(1, 100)), "TOOSMALL")
	p.want(t, "READDIRPLUS of a name", nfs(17, opaque(h.album), long(0), long(0), words(1, 8192)), "OK")
}

// callChanges asks for changes in all the ways that there are.
func callChanges(t *testing.T, p *peer, h *handles) {
	t.Helper()
	p.want(t, "SETATTR of all", nfs(2, opaque(h.file), allAttr, words(1, 2, 3)), "ROFS")
	for how := range uint32(2) {
		p.want(t, "CREATE", nfs(8, opaque(h.album), opaque("new"), words(how), allAttr), "ROFS")
	}
	p.want(t, "exclusive CREATE", nfs(8, opaque(h.album), opaque("new"), words(2), long(1)), "ROFS")
	for kind := uint32(1); kind <= 7; kind++ {
		device := [][]byte{opaque(h.album), opaque("new"), words(kind)}
		switch kind {
		case 3, 4:
			device = append(device, allAttr, words(1, 3))
		case 6, 7:
			device = append(device, allAttr)
		}
		want := "ROFS"
		p.want(t, fmt.Sprintf("MKNOD of type %d", kind), nfs(11, device...), want)
	}
	p.want(t, "WRITE of much", nfs(7, opaque(h.file), long(9), words(20_000, 0), opaque(make([]byte, 20_000))), "ROFS")
	p.want(t, "REMOVE of nothing", nfs(12, opaque(h.album), opaque("nope")), "ROFS")
	p.want(t, "MKDIR over a file", nfs(9, opaque(h.album), opaque("file"), noAttr), "ROFS")
}

// callBatches sends many calls before it looks at the replies, which come in few packets.
func callBatches(t *testing.T, h *handles) {
	t.Helper()
	p := dial(t, "tcp", clientAddr, nfsPort)
	first := p.next + 1
	var batch bytes.Buffer
	for i := range uint32(60) {
		c := []call{
			nfs(1, opaque(h.file)), nfs(6, opaque(h.file), long(uint64(i)*1000), words(40_000)),
			nfs(17, opaque(h.album), long(0), long(0), words(8192, 8192)), nfs(3, opaque(h.album), opaque("nope")),
		}[i%4]
		b := c.record(first + i)
		// In fragments, as records may be.
		half := len(b) / 2
		batch.Write(words(uint32(half)))
		batch.Write(b[:half])
		batch.Write(words(1<<31 | uint32(len(b)-half)))
		batch.Write(b[half:])
	}
	if _, err := p.conn.Write(batch.Bytes()); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(60) {
		if outcome, _ := p.receive(t, first+i, replyTime); outcome != "success" {
			t.Errorf("call %d of a batch: %s", i, outcome)
		}
	}
}
