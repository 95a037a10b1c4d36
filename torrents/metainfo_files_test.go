package torrents

import (
	"reflect"
	"strings"
	"testing"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

// infoSamples are info dictionaries, and whether their files are read without the engine's decoder.
var infoSamples = []struct {
	what, info string
	quick      bool
}{
	{"usual", "d5:filesld6:lengthi3e4:pathl1:a1:beed6:lengthi0e4:pathl1:ceee4:name1:n12:piece lengthi16384e6:pieces0:e", true},
	{"all that a file may have", "d5:filesld4:attr1:p5:crc32i7e6:lengthi3e4:pathl1:ae10:path.utf-8l2:\xc3\xa4e4:sha12:xx12:symlink pathl1:ceee4:name1:ne", true},
	{"more of the dictionary", "d1:ali1ed1:bleee5:filesld6:lengthi3e4:pathl1:aeee4:name1:n7:privatei1ee", true},
	{"a single file", "d6:lengthi3e4:name1:ne", false},
	{"no files", "d5:filesle4:name1:ne", false},
	{"files that are none", "d5:filesi1e4:name1:ne", false},
	{"a negative length", "d5:filesld6:lengthi-3e4:pathl1:aeee4:name1:ne", true},
	{"a length with a zero in front", "d5:filesld6:lengthi03e4:pathl1:aeee4:name1:ne", false},
	{"a length that is a string", "d5:filesld6:length1:34:pathl1:aeee4:name1:ne", false},
	{"a length that is too much", "d5:filesld6:lengthi99999999999999999999e4:pathl1:aeee4:name1:ne", false},
	{"a path that is a string", "d5:filesld6:lengthi3e4:path1:aee4:name1:ne", false},
	{"an empty path", "d5:filesld6:lengthi3e4:pathleee4:name1:ne", false},
	{"a path of numbers", "d5:filesld6:lengthi3e4:pathli1eeee4:name1:ne", false},
	{"keys in disorder", "d5:filesld4:pathl1:ae6:lengthi3eee4:name1:ne", false},
	{"a key twice", "d5:filesld6:lengthi3e6:lengthi4e4:pathl1:aeee4:name1:ne", false},
	{"files twice", "d5:filesld6:lengthi3e4:pathl1:aeee5:filesld6:lengthi4e4:pathl1:beee4:name1:ne", false},
	{"cut off", "d5:filesld6:lengthi3e4:pathl1:a", false},
	{"a string cut off", "d5:filesld6:lengthi3e4:pathl9:a", false},
}

// checkDecodeInfo compares with the engine's decoder.
func checkDecodeInfo(t *testing.T, b []byte) {
	t.Helper()
	var want metainfo.Info
	wantErr := bencode.Unmarshal(b, &want)
	got, err := decodeInfo(b)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%q: error %v, want %v", b, err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%q is %+v, want %+v", b, got, want)
	}
}

func TestDecodeInfo(t *testing.T) {
	for _, test := range infoSamples {
		t.Run(strings.ReplaceAll(test.what, " ", "_"), func(t *testing.T) {
			checkDecodeInfo(t, []byte(test.info))
			if _, _, quick := cutFiles([]byte(test.info)); quick != test.quick {
				t.Errorf("its files are read without the engine's decoder: %t, want %t", quick, test.quick)
			}
		})
	}
}

// FuzzDecodeInfo looks for what the engine's decoder reads in another way.
func FuzzDecodeInfo(f *testing.F) {
	for _, test := range infoSamples {
		f.Add([]byte(test.info))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if scanBencode(b) == nil {
			checkDecodeInfo(t, b)
		}
	})
}
