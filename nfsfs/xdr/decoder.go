// Package xdr reads and writes the External Data Representation (RFC 4506) as far as the protocols
// around NFSv3 use it. It allocates nothing, and trusts no length.
package xdr

import (
	"encoding/binary"
	"errors"
)

// ErrShort is returned by Decoder.Err for data that ends early, or that names a length above what is
// allowed there.
var ErrShort = errors.New("malformed XDR")

// Decoder takes values off the front of a slice. After the first failure it yields zeros only; Err says
// so at the end.
type Decoder struct {
	rest   []byte
	failed bool
}

// NewDecoder returns a Decoder of b. What it yields points into b.
func NewDecoder(b []byte) Decoder { return Decoder{rest: b} }

// Err returns ErrShort if anything before was malformed, and nil otherwise.
func (d *Decoder) Err() error {
	if d.failed {
		return ErrShort
	}
	return nil
}

// Rest returns what has not been taken yet.
func (d *Decoder) Rest() []byte { return d.rest }

// Fixed takes n bytes and the padding behind them. It returns nil after a failure.
func (d *Decoder) Fixed(n int) []byte {
	// n is at most what is there before it is rounded up, so that it cannot overflow.
	if d.failed || n < 0 || n > len(d.rest) || Padded(n) > len(d.rest) {
		d.failed = true
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[Padded(n):]
	return b
}

// Uint32 takes an unsigned int, or an enum.
func (d *Decoder) Uint32() uint32 {
	if b := d.Fixed(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint64 takes an unsigned hyper.
func (d *Decoder) Uint64() uint64 {
	if b := d.Fixed(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Bool takes a bool. Whatever is not zero is true.
func (d *Decoder) Bool() bool { return d.Uint32() != 0 }

// Opaque takes a length of at most limit and as many bytes. It returns nil after a failure.
func (d *Decoder) Opaque(limit int) []byte {
	n := d.Uint32()
	if d.failed || uint64(n) > uint64(limit) || uint64(n) > uint64(len(d.rest)) {
		d.failed = true
		return nil
	}
	return d.Fixed(int(n))
}

// String takes a string of at most limit bytes. It copies it.
func (d *Decoder) String(limit int) string { return string(d.Opaque(limit)) }

// Padded returns n rounded up to the four bytes that everything is aligned to (RFC 4506, section 3).
func Padded(n int) int { return (n + 3) &^ 3 }
