package blocklist

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
)

func compressed(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		what, text string
		in, out    string
		ranges     int
	}{
		{
			"P2P", "# a comment\n\nSome, Company - Inc: a:1.2.3.0-1.2.3.255\r\nTen-1:10.0.0.0-10.0.0.0\n",
			"1.2.3.0 1.2.3.9 1.2.3.255 10.0.0.0 ::ffff:1.2.3.4", "1.2.2.255 1.2.4.0 10.0.0.1 ::1 ::102:304", 2,
		},
		{
			"P2P of IPv6", "name:2001:db8::1-2001:db8::ff\nabcd: 2001:db8:1::-2001:db8:1::1\n",
			"2001:db8::1 2001:db8::ff 2001:db8:1::", "2001:db8:: 2001:db8::100 2001:db8:1::2", 2,
		},
		{
			"eMule", "001.002.003.000 - 001.002.003.255 , 000 , Some, Company - x\n010.000.000.008 - 010.000.000.009 , 127 , y\n" +
				"9.0.0.0 - 9.0.0.1 , 128 , allowed\n8.0.0.0-8.0.0.1,100\n",
			"1.2.3.0 1.2.3.255 10.0.0.8 8.0.0.1", "9.0.0.0 10.0.0.10 0.0.0.0", 3,
		},
		{
			"networks", "\ufeff1.2.3.4/24\n2001:db8::/32 ; SBL1\n5.6.7.8 # one\n0.0.0.0/8\n9.9.9.9/32\n7.0.0.0-7.0.0.3\n::ffff:6.6.6.6\n",
			"1.2.3.0 1.2.3.255 2001:db8:ffff:: 5.6.7.8 0.1.2.3 9.9.9.9 7.0.0.3 6.6.6.6", "1.2.4.0 2001:db9:: 5.6.7.9 1.0.0.0 7.0.0.4", 7,
		},
		{"everything", "0.0.0.0/0\n::/0\n", "1.2.3.4 :: ffff:: 255.255.255.255", "", 1},
		{"touching", "1.0.0.0/25\n1.0.0.128/25\n1.0.0.5\n1.0.0.0-1.0.1.0\n", "1.0.1.0", "1.0.1.1", 1},
		{"families apart", "255.255.255.255\n::1:0:0:0\n::fffe:ffff:ffff\n", "255.255.255.255 ::1:0:0:0", ":: ::1:0:0:1 ::ffff:0:0", 2},
	} {
		for _, b := range [][]byte{[]byte(test.text), compressed(t, test.text)} {
			l, err := Parse(bytes.NewReader(b))
			if err != nil {
				t.Errorf("%s: %v", test.what, err)
				continue
			}
			if l.Len() != test.ranges || l.Skipped() != 0 {
				t.Errorf("%s: %d ranges, %d lines skipped; want %d and none", test.what, l.Len(), l.Skipped(), test.ranges)
			}
			for s := range strings.FieldsSeq(test.in) {
				if !l.Contains(netip.MustParseAddr(s)) {
					t.Errorf("%s: %s is not in it", test.what, s)
				}
			}
			for s := range strings.FieldsSeq(test.out) {
				if l.Contains(netip.MustParseAddr(s)) {
					t.Errorf("%s: %s is in it", test.what, s)
				}
			}
			if l.Contains(netip.Addr{}) {
				t.Errorf("%s: no address is in it", test.what)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	for what, b := range map[string][]byte{
		"nothing":       nil,
		"comments":      []byte("# 1.2.3.4\n// 1.2.3.4\n; 1.2.3.4\n"),
		"a web page":    []byte("<html>\n<p>1.2.3.4\n</html>\n1.2.3.4\n"),
		"a long line":   bytes.Repeat([]byte("x"), maxLine+1),
		"binary":        []byte("\xff\xff\xff\xffP2B\x03\x00\x00"),
		"cut off":       compressed(t, strings.Repeat("1.2.3.4\n", 1000))[:20],
		"damaged":       append(compressed(t, "1.2.3.4\n")[:10], "garbage that is long enough"...),
		"only allowed":  []byte("1.0.0.0 - 1.0.0.1 , 200 , x\n"),
		"bad addresses": []byte("1.2.3.256\n1.2.3\n1.2.3.4/33\n::/129\n2.0.0.0-1.0.0.0\n::1-1.2.3.4\n1.2.3.4-::1\nfe80::1%lo\n1.2.3.0004\n+1.2.3.4\n"),
	} {
		if l, err := Parse(bytes.NewReader(b)); err == nil {
			t.Errorf("%s: a list of %d ranges, want an error", what, l.Len())
		}
	}
	l, err := Parse(strings.NewReader("1.2.3.4\nnonsense\n5.6.7.8\n"))
	if err != nil || l.Len() != 2 || l.Skipped() != 1 {
		t.Errorf("with one bad line of three: %+v, %v; want two ranges", l, err)
	}
}

// TestParseMany: repetition costs nothing, and too much is refused.
func TestParseMany(t *testing.T) {
	const most = 100
	if l, err := parse(strings.NewReader(strings.Repeat("1.2.3.4\n5.6.7.8\n", 10*most)), most); err != nil || l.Len() != 2 {
		t.Errorf("two addresses many times: %v, want a list of 2", err)
	}
	for n, good := range map[int]bool{most: true, most + 1: false, 2*most + 1: false, 5 * most: false} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "1.0.%d.%d\n", i>>7, i<<1&255)
		}
		if _, err := parse(strings.NewReader(b.String()), most); (err == nil) != good {
			t.Errorf("%d ranges where %d may be: %v", n, most, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"name:1.2.3.0-1.2.3.255\n", "a:b:2001:db8::-2001:db8::1\n", "001.002.003.000 - 1.2.3.255 , 000 , x\n", "1.2.3.4/24\n::/0",
		"255.255.255.255\n0.0.0.0\n", "-\n:-\n,\n/\n", "\x1f\x8b", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		f.Add([]byte(s))
	}
	f.Add(compressed(f, "1.2.3.4\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(bytes.NewReader(b))
		if err != nil {
			return
		}
		if l.Len() == 0 {
			t.Error("an empty list is no error")
		}
		for i, s := range l.spans {
			if s.first.compare(s.last) > 0 || i > 0 && (l.spans[i-1].last.compare(s.first) >= 0 || s.first.follows(l.spans[i-1].last)) {
				t.Errorf("%q makes the spans %v", b, l.spans)
			}
		}
	})
}
