//go:build linux

package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/willscott/go-nfs"
	"go.uber.org/goleak"

	"shoal/test/debian"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWriteArchive(t *testing.T) {
	if testing.Short() {
		t.Skip("compares with cpio(1): left out with -short")
	}
	debian.Install(t, "cpio")
	// Names and contents of all lengths modulo four: each is filled up differently.
	for length := range 5 {
		name, content := strings.Repeat("n", length+1), strings.Repeat("c", length)
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			var archive bytes.Buffer
			if err := writeArchive(&archive, name, content); err != nil {
				t.Fatal(err)
			}
			cpio := exec.Command("sh", "-c", "gzip -d | cpio --quiet -i --to-stdout "+name)
			cpio.Stdin = &archive
			if out, err := cpio.CombinedOutput(); err != nil || string(out) != content {
				t.Errorf("cpio reads %q from the archive (%v), want %q", out, err, content)
			}
		})
	}
}

func TestJob(t *testing.T) {
	image := Require(t)
	begin := time.Now()
	vm := image.Start(t, `
		echo hello; read -r line; echo "heard $line"
		cat /proc/filesystems | grep nfs; sha256sum </dev/null
		mount --version; sh -c 'umount --version'; du --version | head -n 1
		head -c 300000 /dev/zero | tr '\0' x; echo
		(exit 7)`)
	ctx := deadline(t)
	if line, err := vm.WaitLine(ctx, "hell"); err != nil || line != "hello" {
		t.Fatalf("first line of the job is %q (%v)", line, err)
	}
	t.Logf("boot took %v", time.Since(begin))
	if err := vm.Send("ahoy  there"); err != nil {
		t.Fatal(err)
	}
	if err := vm.Wait(ctx); err == nil || !strings.Contains(err.Error(), "status 7") {
		t.Errorf("Wait says %.200v, want status 7", err)
	}
	t.Logf("from start to power off took %v", time.Since(begin))
	for _, want := range []string{
		"\nheard ahoy  there\n",
		"nodev\tnfs\n",
		"\nmount from util-linux", "\numount from util-linux", "\ndu (GNU coreutils)",
		fmt.Sprintf("\n%x  -\n", sha256.Sum256(nil)),
		"\n" + strings.Repeat("x", 300000) + "\n",
	} {
		if !strings.Contains(vm.Output(), want) {
			t.Errorf("output lacks %.100q", want)
		}
	}
	if line, err := vm.WaitLine(ctx, "heard"); err != nil || line != "heard ahoy  there" {
		t.Errorf("WaitLine after the end returns %q (%v)", line, err)
	}
	if line, err := vm.WaitLine(ctx, "no such line"); err == nil {
		t.Errorf("WaitLine found %q", line)
	}
	if !strings.Contains(vm.KernelLog(), "Power down") {
		t.Errorf("kernel's messages lack the end:\n%s", vm.KernelLog())
	}
}

// A caller gets its answer when its own deadline passes or the VM is killed, and no goroutine stays.
func TestWaitEnds(t *testing.T) {
	image := Require(t)
	var vm *VM
	t.Run("deadline", func(t *testing.T) {
		vm = image.Start(t, "sleep 1000")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := vm.WaitLine(ctx, "never"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitLine says %v", err)
		}
		if err := vm.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait says %v", err)
		}
	})
	if !vm.hasEnded() {
		t.Error("QEMU runs on after the test's cleanup")
	}
	if err := vm.Wait(deadline(t)); err == nil {
		t.Error("Wait takes a killed guest for one whose job is done")
	}
}

// What the tests of the whole appliance lean on: the guest mounts a server on the host's loopback, reads
// files with any name, and waits for a server that is away in the middle.
func TestMount(t *testing.T) {
	image := Require(t)
	files := map[string][]byte{
		"a name with  spaces ":      []byte("one"),
		"dir/Größe – 大きさ.txt":       []byte("two"),
		strings.Repeat("n", 255):    bytes.Repeat([]byte("three"), 100_000),
		strings.Repeat("ü", 127):    {},
		"dir/quote ' \" $HOME `ls`": []byte("five"),
	}
	server := startServer(t, files)
	vm := image.Start(t, fmt.Sprintf(`
		mount -t nfs -o nfsvers=3,tcp,nolock,port=%[1]d,mountport=%[1]d %[2]s:/mount /mnt || exit
		echo mounted; read -r line
		find /mnt -type f -print0 | xargs -0 sha256sum || exit
		umount /mnt`, server.port, HostAddr))
	ctx := deadline(t)
	if _, err := vm.WaitLine(ctx, "mounted"); err != nil {
		t.Fatal(err)
	}
	server.stop()
	if err := vm.Send("go on"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	server.start(t)
	if err := vm.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("reading on after the restart took %v", time.Since(begin))
	for name, content := range files {
		if want := fmt.Sprintf("%x  /mnt/%s\n", sha256.Sum256(content), name); !strings.Contains(vm.Output(), want) {
			t.Errorf("output lacks %q", want)
		}
	}
}

// export hands out numbers as file handles, which hold as long as the export, whatever its server does.
type export struct {
	fs    billy.Filesystem
	mu    sync.Mutex
	paths [][]string // the handle of paths[i] is the byte i
}

func (e *export) Mount(context.Context, net.Conn, nfs.MountRequest) (nfs.MountStatus, billy.Filesystem, []nfs.AuthFlavor) {
	return nfs.MountStatusOk, e.fs, []nfs.AuthFlavor{nfs.AuthFlavorNull}
}

func (e *export) ToHandle(_ billy.Filesystem, path []string) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	index := slices.IndexFunc(e.paths, func(known []string) bool { return slices.Equal(known, path) })
	if index < 0 {
		index = len(e.paths)
		e.paths = append(e.paths, slices.Clone(path))
	}
	return []byte{byte(index), 0, 0, 0}
}

func (e *export) FromHandle(handle []byte) (billy.Filesystem, []string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fs, slices.Clone(e.paths[handle[0]]), nil
}

func (e *export) Change(billy.Filesystem) billy.Change                        { return nil }
func (e *export) FSStat(context.Context, billy.Filesystem, *nfs.FSStat) error { return nil }
func (e *export) InvalidateHandle(billy.Filesystem, []byte) error             { return nil }
func (e *export) HandleLimit() int                                            { return 250 }

// server is go-nfs, which can lose all its connections and come back on the same port.
type server struct {
	handler nfs.Handler
	port    int
	stop    func()
}

func startServer(t *testing.T, files map[string][]byte) *server {
	t.Helper()
	fs := memfs.New()
	for name, content := range files {
		file, err := fs.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.Write(content)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	nfs.Log.SetLevel(nfs.ErrorLevel)
	s := &server{handler: &export{fs: fs}}
	s.start(t)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	inner, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	s.port = inner.Addr().(*net.TCPAddr).Port
	listener := &closingListener{Listener: inner}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = nfs.Serve(listener, s.handler) // ends with an error when stopped; that is its only way to end
	}()
	s.stop = sync.OnceFunc(func() {
		listener.closeAll()
		<-served
	})
}

// closingListener closes the accepted connections with itself.
type closingListener struct {
	net.Listener
	mu    sync.Mutex
	conns []io.Closer
}

func (l *closingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
	}
	return conn, err
}

func (l *closingListener) closeAll() {
	l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		conn.Close()
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
