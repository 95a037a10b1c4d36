package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"shoal/archive/rar/rartest"
)

// volumeFolder has the volumes of a set.
type volumeFolder map[string]*memory

func (v volumeFolder) File(name string) (File, bool) {
	f, ok := v[name]
	return f, ok
}

// TestRAR reads a film in the middle of many volumes, by few of them, and all of it, in both formats.
func TestRAR(t *testing.T) {
	film, note := text(1, 5<<20), text(2, 3000)
	for _, format := range []int{4, 5} {
		volumes, err := rartest.Write(rartest.Options{Format: format, VolumeSize: 300_000},
			rartest.File{Name: "film.mkv", Data: bytes.NewReader(film), Size: int64(len(film)), ModTime: rartest.Time},
			rartest.File{Name: "note.nfo", Data: bytes.NewReader(note), Size: int64(len(note)), ModTime: rartest.Time})
		if err != nil {
			t.Fatal(err)
		}
		folder := make(volumeFolder)
		for i, v := range volumes {
			b, err := io.ReadAll(io.NewSectionReader(v, 0, v.Size()))
			if err != nil {
				t.Fatal(err)
			}
			folder[fmt.Sprintf("x.part%02d.rar", i+1)] = &memory{data: b}
		}
		touched := func() (n int) {
			for _, f := range folder {
				if f.reads.Load() > 0 {
					n++
				}
			}
			return n
		}
		dir := t.TempDir()
		for _, again := range []bool{false, true} {
			a := newStore(t, dir).Archive("t/3", "x.part01.rar", folder["x.part01.rar"], folder)
			members := make(map[string]Member)
			walk(t, a, "", func(path string, m Member) { members[path] = m })
			if n := touched(); !again && n > 4 {
				t.Errorf("format %d: listing reads in %d volumes of %d", format, n, len(folder))
			}
			before := touched()
			f := members["film.mkv"].File
			if f == nil || f.Size() != int64(len(film)) || len(members) != 2 {
				t.Fatalf("format %d: the members are %v", format, members)
			}
			b := make([]byte, 10_000)
			if n, err := f.ReadAt(t.Context(), b, 1<<20); n < len(b) || err != nil || !bytes.Equal(b, film[1<<20:][:len(b)]) {
				t.Errorf("format %d: in its middle %d bytes, or others; %v", format, n, err)
			}
			if n := touched(); n > before+2 {
				t.Errorf("format %d: a seek reads in %d more volumes", format, n-before)
			}
			for path, want := range map[string][]byte{"film.mkv": film, "note.nfo": note} {
				got, err := io.ReadAll(io.NewSectionReader(readerAt(t.Context(), members[path].File), 0, int64(len(want))))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("format %d: %q has %d bytes of %d, or others; %v", format, path, len(got), len(want), err)
				}
			}
			if _, _, ok := f.(Located).Locate(1<<20, 1000); !ok {
				t.Errorf("format %d: what was read is said to be nowhere", format)
			}
		}
	}
}

// TestRAR4Links shows the symbolic links of format 4, which has what they say among the data, and none that leads out or is compressed.
func TestRAR4Links(t *testing.T) {
	link := func(name, to string) rartest.File {
		f := rartest.Bytes(name, to)
		f.Link = to
		return f
	}
	packed := link("d/packed", "a.txt")
	packed.Method = 3
	volumes, err := rartest.Write(rartest.Options{Format: 4},
		rartest.Bytes("d/a.txt", "hello"), link("d/good", "a.txt"), link("bad", "../a.txt"), packed, link("d/long", "a"+string(make([]byte, maxLink))))
	if err != nil {
		t.Fatal(err)
	}
	f := &memory{data: make([]byte, volumes[0].Size())}
	if _, err := volumes[0].ReadAt(f.data, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range 2 {
		f.reads.Store(0)
		found := make(map[string]string)
		walk(t, newStore(t, dir).Archive("t/3", "x.rar", f, nil), "", func(path string, m Member) {
			if !m.Dir {
				found[path] = m.Link
			}
		})
		if len(found) != 2 || found["d/good"] != "a.txt" || found["d/a.txt"] != "" {
			t.Errorf("the files and links are %q", found)
		}
	}
	if n := f.reads.Load(); n != 0 {
		t.Errorf("what is known of links is read again, in %d reads", n)
	}
	away := newStore(t, t.TempDir()).Archive("t/3", "x.rar", f, nil)
	f.fails.Store(true)
	if _, err := away.Members(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("while nobody has the data: %v", err)
	}
}

// TestCutRAR joins a RAR archive that was cut into parts, which begins as a volume of a set does.
func TestCutRAR(t *testing.T) {
	film := text(1, 300_000)
	volumes, err := rartest.Write(rartest.Options{Format: 5},
		rartest.File{Name: "film.mkv", Data: bytes.NewReader(film), Size: int64(len(film)), ModTime: rartest.Time})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(io.NewSectionReader(volumes[0], 0, volumes[0].Size()))
	if err != nil {
		t.Fatal(err)
	}
	folder := volumeFolder{"x.rar.001": {data: whole[:100_000]}, "x.rar.002": {data: whole[100_000:200_000]}, "x.rar.003": {data: whole[200_000:]}}
	found := make(map[string][]byte)
	walk(t, newStore(t, t.TempDir()).Archive("t/4", "x.rar.001", folder["x.rar.001"], folder), "", func(path string, m Member) {
		if m.File != nil {
			found[path], _ = io.ReadAll(io.NewSectionReader(readerAt(t.Context(), m.File), 0, m.Size))
		}
	})
	if !bytes.Equal(found["x.rar/film.mkv"], film) {
		t.Errorf("of %d members the film has %d bytes, or others", len(found), len(found["x.rar/film.mkv"]))
	}
}
