package archivetest

import (
	"bytes"
	"compress/bzip2"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestBzip2(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 3*bzip2Block)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, want := range map[string][]byte{
		"empty": nil, "a byte": {7}, "two": {7, 7}, "four": {7, 7, 7, 7}, "five": {7, 7, 7, 7, 7}, "zeros": make([]byte, 8<<20), "noise": noise,
		"text": []byte(strings.Repeat("all work and no play\n", 5000)), "few": bytes.Map(func(c rune) rune { return c & 1 }, noise),
		"runs": bytes.Repeat(append(make([]byte, 255), make([]byte, 257)...), 3),
	} {
		t.Run(name, func(t *testing.T) {
			data := Bzip2(want)
			got, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(data)))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes become %d, and then %d, or others; %v", len(want), len(data), len(got), err)
			}
			t.Logf("%d bytes become %d", len(want), len(data))
		})
	}
}
