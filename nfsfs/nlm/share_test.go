package nlm

import "testing"

func TestShares(t *testing.T) {
	const none, read, write, both = 0, 1, 2, 3
	tests := []struct {
		access, deny, otherAccess, otherDeny uint32
		want                                 status
	}{
		{read, none, read, none, granted},
		{both, none, both, none, granted},
		{read, write, read, write, granted},
		{read, write, write, none, denied},
		{read, write, both, none, denied},
		{write, none, read, write, denied},
		{read, both, none, none, granted},
		{read, both, read, none, denied},
		{none, none, both, both, granted},
		{none, read, both, both, denied},
	}
	for _, test := range tests {
		tb := newTable()
		first := share{client: client{hostA, "a"}, oh: "1", access: test.access, deny: test.deny}
		if got := tb.share("file", first); got != granted {
			t.Errorf("%+v: the first: %d", test, got)
		}
		second := share{client: client{hostA, "a"}, oh: "2", access: test.otherAccess, deny: test.otherDeny}
		if got := tb.share("file", second); got != test.want {
			t.Errorf("%+v: the second: %d", test, got)
		}
		tb.unshare("file", first)
		if got := tb.share("file", second); got != granted {
			t.Errorf("%+v: the second, alone: %d", test, got)
		}
		second.access, second.deny = both, both
		if got := tb.share("file", second); got != granted {
			t.Errorf("%+v: the second, changed: %d", test, got)
		}
		tb.unshare("file", second)
		tb.unshare("file", second)
		if tb.entries != 0 || len(tb.files) > 0 {
			t.Errorf("%+v: %d entries are left", test, tb.entries)
		}
	}
}
