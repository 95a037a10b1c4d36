package nfsfs

import (
	"context"
	"fmt"
	"net"

	"shoal/nfsfs/mount"
	"shoal/nfsfs/nfs3"
	"shoal/nfsfs/rpc"
)

// Ping calls NULL of NFS and of MOUNT at addr. It returns nil if both answer before ctx ends.
func Ping(ctx context.Context, addr string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("reach NFS: %w", err)
	}
	defer func() { _ = conn.Close() }()
	for _, program := range []struct {
		name            string
		number, version uint32
	}{{"NFS", nfs3.Program, nfs3.Version}, {"MOUNT", mount.Program, 3}} {
		if _, err := rpc.Exchange(ctx, conn, rpc.Header{Program: program.number, Version: program.version}, nil); err != nil {
			return fmt.Errorf("%s: %w", program.name, err)
		}
	}
	return nil
}
