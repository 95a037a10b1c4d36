package nfs3

import (
	"math"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

const (
	// preferredPage is what clients are told to ask for when they list a folder, in bytes.
	preferredPage = 256 << 10
	// blockSize is what transfers are best a multiple of, in bytes.
	blockSize = 4096
	// propertyHomogeneous says that PATHCONF is the same everywhere (FSF3_HOMOGENEOUS).
	propertyHomogeneous = 0x8
)

// about begins the answer to a question about the file system as a whole, which is asked of any node.
func (s *Server) about(call *rpc.Call, d *xdr.Decoder, reply []byte) (_ []byte, _ rpc.Status, ok bool) {
	n, err := s.takeNode(d)
	switch {
	case d.Err() != nil:
		return reply, rpc.GarbageArgs, false
	case err != nil:
		reply, stat := refuse(call, reply, status(err), 1)
		return reply, stat, false
	}
	return appendPostOp(begin(call, reply, statusOK), n), rpc.Success, true
}

func (s *Server) fsstat(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	reply, stat, ok := s.about(call, d, reply)
	if !ok {
		return reply, stat
	}
	space := s.opts.Space()
	for _, v := range []uint64{
		space.Bytes, space.FreeBytes, space.FreeBytes, // the last is for whoever asks
		space.Files, space.FreeFiles, space.FreeFiles,
	} {
		reply = xdr.AppendUint64(reply, v)
	}
	return xdr.AppendUint32(reply, 0), stat // how long this stays true: nobody knows
}

func (s *Server) fsinfo(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	reply, stat, ok := s.about(call, d, reply)
	if !ok {
		return reply, stat
	}
	most := uint32(maxTransfer)
	if !call.Stream() {
		most = maxPacket
	}
	reply = xdr.AppendWords(reply,
		most, most, blockSize, // READ: most, preferred, multiple
		most, most, blockSize, // WRITE
		min(most, preferredPage))
	reply = xdr.AppendUint64(reply, math.MaxInt64) // the largest file
	reply = xdr.AppendWords(reply, 0, 1)           // times are exact to the nanosecond
	return xdr.AppendUint32(reply, propertyHomogeneous), stat
}

func (s *Server) pathconf(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	reply, stat, ok := s.about(call, d, reply)
	if !ok {
		return reply, stat
	}
	reply = xdr.AppendWords(reply, 1, tree.MaxName) // links of a file, length of a name
	reply = xdr.AppendBool(reply, true)             // a longer name is an error
	reply = xdr.AppendBool(reply, true)             // only root gives files away
	reply = xdr.AppendBool(reply, false)            // not case-insensitive
	return xdr.AppendBool(reply, true), stat        // but case-preserving
}
