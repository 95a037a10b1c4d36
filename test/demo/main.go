// Command demo shows the main job of Shoal on one machine, without internet: it makes a small sample,
// seeds it with a BitTorrent client of its own, starts an appliance, adds the sample over HTTP, reads
// it through NFS and compares. Then it stays up until Ctrl-C, to be mounted and looked at.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

const (
	token = "demo"
	route = "demo"

	startTime = 30 * time.Second
	readTime  = time.Minute
	stopTime  = 10 * time.Second
)

// run shows the demo, writing to out what happens, until ctx ends.
func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "shoal-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	s, err := makeSample(filepath.Join(dir, "seeder"))
	if err != nil {
		return fmt.Errorf("make the sample: %w", err)
	}
	say("A sample of %d files is made: %s", len(s.files), s.name)
	seeder, err := seed(ctx, s)
	if err != nil {
		return fmt.Errorf("start the seeder: %w", err)
	}
	defer func() { err = errors.Join(err, seeder.close()) }()
	say("A BitTorrent client seeds it at %s.", seeder.addr)

	a, err := startAppliance(ctx, dir, seeder.addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	say("Shoal runs, with its API at http://%s/api/v1 and the token %q.", a.httpAddr, token)
	if err := a.add(ctx, s.metainfo); err != nil {
		return fmt.Errorf("add the sample: %w", err)
	}
	say("The sample is added. Mount it, as root, in another terminal:\n")
	say("    mount -t nfs -o nfsvers=3,tcp,nolock,port=%[1]d,mountport=%[1]d 127.0.0.1:/ /mnt\n", a.nfsPort)

	start := time.Now()
	total, err := compare(ctx, a.nfsPort, s)
	if err != nil {
		return fmt.Errorf("read it through NFS: %w", err)
	}
	say("All %d files were read through NFS, %.1f MB in %v: the sums agree.",
		len(s.files), float64(total)/1e6, time.Since(start).Round(time.Millisecond))
	say("It stays up until Ctrl-C.")
	select {
	case <-ctx.Done():
		say("Stopping.")
		return nil
	case <-a.ended:
		return fmt.Errorf("the appliance ended by itself:\n%s", a.log.String())
	}
}

// applianceProcess is a running appliance.
type applianceProcess struct {
	httpAddr string
	nfsPort  int
	cmd      *exec.Cmd
	log      bytes.Buffer // not to be read before the process has ended
	ended    chan struct{}
}

func startAppliance(ctx context.Context, dir, peer string) (*applianceProcess, error) {
	binary := filepath.Join(dir, "appliance")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "shoal/cmd/appliance")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the appliance: %w\n%s", err, out)
	}
	httpPort, err := freePort()
	if err != nil {
		return nil, err
	}
	nfsPort, err := freePort()
	if err != nil {
		return nil, err
	}
	a := &applianceProcess{
		httpAddr: "127.0.0.1:" + strconv.Itoa(httpPort), nfsPort: nfsPort,
		cmd: exec.Command(binary), ended: make(chan struct{}),
	}
	a.cmd.Env = append(os.Environ(),
		"SHOAL_DATA_DIR="+filepath.Join(dir, "data"),
		"SHOAL_HTTP_ADDR="+a.httpAddr,
		"SHOAL_NFS_ADDR=127.0.0.1:"+strconv.Itoa(nfsPort),
		"SHOAL_MDNS=false",
		"SHOAL_BT_ADDR=127.0.0.1:0",
		"SHOAL_BT_DHT=false", "SHOAL_BT_PEX=false", "SHOAL_BT_LSD=false",
		"SHOAL_BT_PEERS="+peer,
		"SHOAL_ROUTES="+route,
		"SHOAL_API_TOKEN="+token,
	)
	a.cmd.Stderr = &a.log
	// Ctrl-C is for the demo, which stops the appliance in its turn.
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the appliance: %w", err)
	}
	go func() {
		_ = a.cmd.Wait() // how it ended is in ProcessState
		close(a.ended)
	}()
	if err := a.awaitHealth(ctx, binary); err != nil {
		return nil, errors.Join(err, a.stop())
	}
	return a, nil
}

// awaitHealth asks the program's own health check until it passes.
func (a *applianceProcess) awaitHealth(ctx context.Context, binary string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		check := exec.CommandContext(ctx, binary, "healthcheck")
		check.Env = a.cmd.Env
		if check.Run() == nil {
			return nil
		}
		select {
		case <-a.ended:
			return fmt.Errorf("the appliance does not start:\n%s", a.log.String())
		case <-ctx.Done():
			return fmt.Errorf("the appliance is not healthy: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (a *applianceProcess) stop() error {
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the appliance: %w", err)
	}
	select {
	case <-a.ended:
		return nil
	case <-time.After(stopTime):
		return errors.Join(errors.New("the appliance does not stop"), a.cmd.Process.Kill())
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
