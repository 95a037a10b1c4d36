package main

import (
	"strings"
	"testing"
)

// Events as `go test -json` of Go 1.26 writes them, less their times.
const (
	passing = `{"Action":"start","Package":"shoal/tree"}
{"Action":"run","Package":"shoal/tree","Test":"TestA"}
{"Action":"output","Package":"shoal/tree","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"shoal/tree","Test":"TestA","Output":"    a_test.go:7: chatter\n"}
{"Action":"output","Package":"shoal/tree","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"shoal/tree","Test":"TestA"}
{"Action":"output","Package":"shoal/tree","Output":"PASS\n"}
{"Action":"output","Package":"shoal/tree","Output":"ok  \tshoal/tree\t0.010s\n"}
{"Action":"pass","Package":"shoal/tree"}
`
	untested = `{"Action":"start","Package":"shoal/web"}
{"Action":"output","Package":"shoal/web","Output":"?   \tshoal/web\t[no test files]\n"}
{"Action":"skip","Package":"shoal/web"}
`
	skipping = `{"Action":"start","Package":"shoal/nfsfs"}
{"Action":"output","Package":"shoal/nfsfs","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"shoal/nfsfs","Test":"TestB","Output":"    b_test.go:9: no kernel here\n"}
{"Action":"output","Package":"shoal/nfsfs","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"shoal/nfsfs","Test":"TestB"}
{"Action":"output","Package":"shoal/nfsfs","Output":"PASS\n"}
{"Action":"output","Package":"shoal/nfsfs","Output":"ok  \tshoal/nfsfs\t0.010s\n"}
{"Action":"pass","Package":"shoal/nfsfs"}
`
	failing = `{"Action":"start","Package":"shoal/admin"}
{"Action":"output","Package":"shoal/admin","Test":"TestC","Output":"=== RUN   TestC\n"}
{"Action":"output","Package":"shoal/admin","Test":"TestC/x","Output":"=== RUN   TestC/x\n"}
{"Action":"output","Package":"shoal/admin","Test":"TestC/x","Output":"    c_test.go:3: got 1, want 2\n"}
{"Action":"output","Package":"shoal/admin","Test":"TestC/y","Output":"    c_test.go:4: all well\n"}
{"Action":"output","Package":"shoal/admin","Test":"TestC","Output":"--- FAIL: TestC (0.00s)\n"}
{"Action":"output","Package":"shoal/admin","Test":"TestC/x","Output":"    --- FAIL: TestC/x (0.00s)\n"}
{"Action":"fail","Package":"shoal/admin","Test":"TestC/x"}
{"Action":"pass","Package":"shoal/admin","Test":"TestC/y"}
{"Action":"fail","Package":"shoal/admin","Test":"TestC"}
{"Action":"output","Package":"shoal/admin","Output":"FAIL\n"}
{"Action":"output","Package":"shoal/admin","Output":"FAIL\tshoal/admin\t0.010s\n"}
{"Action":"fail","Package":"shoal/admin"}
`
	unbuilt = `{"ImportPath":"shoal/archive","Action":"build-output","Output":"# shoal/archive\n"}
{"ImportPath":"shoal/archive","Action":"build-output","Output":"archive/a.go:3:1: syntax error\n"}
{"ImportPath":"shoal/archive","Action":"build-fail"}
{"Action":"start","Package":"shoal/archive"}
{"Action":"output","Package":"shoal/archive","Output":"FAIL\tshoal/archive [build failed]\n"}
{"Action":"fail","Package":"shoal/archive","FailedBuild":"shoal/archive"}
`
	stopped = `{"Action":"start","Package":"shoal/torrents"}
{"Action":"output","Package":"shoal/torrents","Test":"TestD","Output":"=== RUN   TestD\n"}
{"Action":"output","Package":"shoal/torrents","Test":"TestD","Output":"panic: test timed out\n"}
`
)

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     string
		noskip bool
		ok     bool
		want   string
	}{
		{
			name: "passing", in: passing + untested, noskip: true, ok: true,
			want: "ok  \tshoal/tree\t0.010s\n?   \tshoal/web\t[no test files]\n\ntests: 1 passed, 0 failed, 0 skipped\n",
		},
		{
			name: "skip", in: passing + skipping, ok: true,
			want: "ok  \tshoal/tree\t0.010s\nok  \tshoal/nfsfs\t0.010s\n\nSkipped tests, and why:\n" +
				"  shoal/nfsfs TestB: b_test.go:9: no kernel here\n\ntests: 1 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "skip where none may be", in: passing + skipping, noskip: true, ok: false,
			want: "ok  \tshoal/tree\t0.010s\nok  \tshoal/nfsfs\t0.010s\n\nSkipped tests, and why:\n" +
				"  shoal/nfsfs TestB: b_test.go:9: no kernel here\nThat is a failure here: each must be able to run.\n" +
				"\ntests: 1 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "failure", in: failing, ok: false,
			want: "--- FAIL: TestC (0.00s)\n    --- FAIL: TestC/x (0.00s)\n    c_test.go:3: got 1, want 2\n" +
				"FAIL\nFAIL\tshoal/admin\t0.010s\n\ntests: 1 passed, 2 failed, 0 skipped\n",
		},
		{
			name: "does not compile", in: passing + unbuilt, ok: false,
			want: "ok  \tshoal/tree\t0.010s\n# shoal/archive\narchive/a.go:3:1: syntax error\n" +
				"FAIL\tshoal/archive [build failed]\n\ntests: 1 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "stopped in the middle", in: passing + stopped, ok: false,
			want: "ok  \tshoal/tree\t0.010s\npanic: test timed out\nFAIL\tshoal/torrents [no result]\n" +
				"\ntests: 1 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "nothing", in: "go: no such module\n", ok: false,
			want: "go: no such module\nNo test ran.\n\ntests: 0 passed, 0 failed, 0 skipped\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			ok, err := run(strings.NewReader(c.in), &out, c.noskip)
			if err != nil || ok != c.ok || out.String() != c.want {
				t.Errorf("got %v, %v and\n%s\nwant %v and\n%s", ok, err, out.String(), c.ok, c.want)
			}
		})
	}
}
