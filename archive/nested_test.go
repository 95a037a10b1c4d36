package archive

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"shoal/archive/archivetest"
)

// TestManyReadersOfNested has many read at once in an archive that is compressed in another one: what decodes the inner one waits for what
// decodes the outer one, which needs a place among the decoders as well.
func TestManyReadersOfNested(t *testing.T) {
	const members = 100
	data := make([][]byte, members)
	deflated, zstd := make([]zipEntry, members), make([]archivetest.ZipEntry, members)
	frame := func(b []byte) []byte { return append(archivetest.ZstdWindow(10)[:6:6], zstdRaw(b)...) }
	for i := range data {
		data[i] = text(uint64(i), 200_000)
		deflated[i] = zipEntry{name: fmt.Sprint(i), data: data[i]}
		zstd[i] = archivetest.ZipEntry{Name: fmt.Sprint(i), Method: archivetest.ZipZstd, Data: frame(data[i]), Size: uint32(len(data[i]))}
	}
	inner := archivetest.Zip(zstd...)
	for name, z := range map[string][]byte{
		"deflate": makeZip(t, zipEntry{name: "in.zip", data: makeZip(t, deflated...)}),
		"zstd":    archivetest.Zip(archivetest.ZipEntry{Name: "in.zip", Method: archivetest.ZipZstd, Data: frame(inner), Size: uint32(len(inner))}),
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir(), Options{Segments: 1 << 10, Workers: 2}) // nothing stays in the cache
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			list, err := s.Archive("t/0", "x.zip", &memory{data: z}, nil).Members(ctx)
			if err != nil || list[0].Archive == nil {
				t.Fatalf("%d members, %v", len(list), err)
			}
			list, err = list[0].Archive.Members(ctx)
			if err != nil || len(list) != members {
				t.Fatalf("%d members inside, %v", len(list), err)
			}
			var wg sync.WaitGroup
			for i := range list {
				wg.Go(func() {
					for range 3 { // so that some wait while the others have all places
						b := make([]byte, len(data[i]))
						if n, err := list[i].File.ReadAt(ctx, b, 0); !bytes.Equal(b, data[i]) {
							t.Errorf("member %d: %d bytes, or others: %v", i, n, err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
