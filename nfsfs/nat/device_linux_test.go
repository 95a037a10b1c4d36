package nat

import (
	"encoding/binary"
	"net"
	"testing"
)

// TestDevices knows all devices there are; which of them are those of a container, package test/clients has.
func TestDevices(t *testing.T) {
	kinds, err := Devices()
	if err != nil {
		t.Fatal(err)
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if _, ok := kinds[i.Name]; !ok {
			t.Errorf("%s is not in %q", i.Name, kinds)
		}
	}
	if kind := kinds["lo"]; kind != "" {
		t.Errorf("lo is a %q", kind)
	}
}

func FuzzKind(f *testing.F) {
	attribute := func(kind uint16, value string) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
		b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
		return append(b, make([]byte, -len(b)&3)...)
	}
	veth := attribute(linkKind, "veth\x00")
	for _, b := range [][]byte{veth, append(attribute(2, "data of another kind"), veth...)} {
		if got := kindIn(b); got != "veth" {
			f.Errorf("the kind is %q, want veth", got)
		}
		f.Add(b)
	}
	for _, b := range [][]byte{nil, {9}, attribute(2, "x"), veth[:7], {0, 0, 1, 0}} {
		if got := kindIn(b); got != "" {
			f.Errorf("of %x the kind is %q", b, got)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := kindIn(b); len(got) > len(b) {
			t.Errorf("the kind %q is longer than all", got)
		}
	})
}
