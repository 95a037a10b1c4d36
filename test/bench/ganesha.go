//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	ganeshaName      = "ganesha"
	ganeshaNFSPort   = 20590
	ganeshaMountPort = 20591
)

// ganeshaConfig is what its manual advises for a small read-only export, and its defaults. Its cache
// has room for the whole folder: with the default, which is 100,000 entries, it would be one too small.
const ganeshaConfig = `
NFS_CORE_PARAM {
	Protocols = 3;
	NFS_Port = %[1]d;
	MNT_Port = %[2]d;
	Enable_NLM = false;
	Enable_RQUOTA = false;
	Enable_UDP = false;
}
MDCACHE { Entries_HWMark = 400000; }
NFSv4 { Graceless = true; RecoveryRoot = "%[3]s"; }
EXPORT {
	Export_Id = 1;
	Path = "%[4]s";
	Pseudo = "/export";
	Access_Type = RO;
	Squash = None;
	SecType = sys;
	Protocols = 3;
	Transports = TCP;
	FSAL { Name = VFS; }
}
`

// startGanesha runs nfs-ganesha with the data as files.
func startGanesha(s setup, d *data) (*server, error) {
	home := filepath.Join(s.Dir, "ganesha")
	if err := os.MkdirAll(filepath.Join(home, "recovery"), 0o755); err != nil {
		return nil, err
	}
	// It registers its programs with the portmapper, and ends if it cannot.
	portmap, err := launch(s.Dir, s.Log, os.Environ(), "rpcbind", "-f")
	if err != nil {
		return nil, err
	}
	if err := portmap.await(func() error { return dialable("127.0.0.1:111") }); err != nil {
		return nil, err
	}
	config := filepath.Join(home, "ganesha.conf")
	text := fmt.Sprintf(ganeshaConfig, ganeshaNFSPort, ganeshaMountPort, filepath.Join(home, "recovery"), d.export)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	p, err := launch(s.Dir, s.Log, os.Environ(), "ganesha.nfsd",
		"-F", "-f", config, "-L", "STDERR", "-p", filepath.Join(home, "pid"))
	if err != nil {
		return nil, err
	}
	t := target{
		Name: ganeshaName, PID: p.pid, Top: d.export,
		NFS:   fmt.Sprintf("127.0.0.1:%d", ganeshaNFSPort),
		Mount: fmt.Sprintf("127.0.0.1:%d", ganeshaMountPort),
	}
	err = p.await(func() error {
		if err := dialable(t.Mount); err != nil {
			return err
		}
		return dialable(t.NFS)
	})
	return &server{process: p, target: t}, err
}

func dialable(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}
