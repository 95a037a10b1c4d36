package nfsfs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

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
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	for _, program := range []struct {
		name            string
		number, version uint32
	}{
		{"NFS", rpc.ProgramNFS, rpc.VersionNFS},
		{"MOUNT", rpc.ProgramMount, rpc.VersionMount},
	} {
		xid := rand.Uint32()
		call := rpc.AppendCall(nil, rpc.Call{XID: xid, Program: program.number, Ver: program.version})
		if err := rpc.WriteRecord(conn, call); err != nil {
			return fmt.Errorf("call %s: %w", program.name, err)
		}
		reply, err := rpc.ReadRecord(conn, 1024)
		if err != nil {
			return fmt.Errorf("call %s: %w", program.name, err)
		}
		if got, err := rpc.ReplyXID(reply); err != nil || got != xid {
			return fmt.Errorf("call %s: reply %d to call %d: %w", program.name, got, xid, err)
		}
	}
	return nil
}
