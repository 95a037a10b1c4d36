package rar

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
)

// maxStub is how much of a program may come before the archive in it: where unrar looks for it, too.
const maxStub = 1 << 20

const signature = "Rar!\x1a\x07"

// volume is an opened volume, its signature and main header read.
type volume struct {
	source
	format int
	first  int64 // where the headers behind the main header begin
	mainAt int64 // where the main header is
	main   mainFields
	cache  *quickOpen // nil before it was needed
}

// errNoVolume is in the errors about volumes that the set has not. An fs.ErrNotExist of a read is not: a file behind the volume may be gone.
var errNoVolume = errors.New("no such volume")

// openVolume opens volume n and reads its beginning.
func openVolume(v Volumes, n int, b *budget) (*volume, error) {
	r, size, err := v.Open(n)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", errNoVolume, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open volume %d: %w", n, err)
	}
	vol := &volume{source: source{volume: n, r: r, size: size, budget: b}}
	from, err := vol.begin(0)
	for first := err; errors.Is(err, ErrFormat) && n == 0 && from > 0; {
		// The program in front of an archive may have a signature of its own.
		if from, err = vol.begin(from); from == 0 && err != nil {
			err = first
		}
	}
	if err != nil {
		return nil, err
	}
	if number := vol.main.number; number >= 0 && number != int64(n) {
		return nil, fmt.Errorf("%w: volume %d says it is volume %d", ErrFormat, n, number)
	}
	return vol, nil
}

// begin reads the main header behind the first signature from a place on. If there is a signature and something wrong behind it, it returns
// the place to look for another, and the error.
func (v *volume) begin(from int64) (next int64, err error) {
	at, err := v.findSignature(from)
	if err != nil {
		return 0, err
	}
	if err := v.setSignature(at); err != nil {
		return at + 1, err
	}
	h, err := v.read(v.mainAt)
	switch {
	case err != nil:
		return at + 1, fmt.Errorf("main header: %w", err)
	case h.kind == encryptionHeader || h.encrypted:
		return 0, fmt.Errorf("%w: its headers are encrypted", ErrEncrypted)
	case h.kind != mainHeader:
		return at + 1, fmt.Errorf("%w: volume %d has no main header", ErrFormat, v.volume)
	}
	v.main, v.first = h.main, v.mainAt+h.size+h.data
	return 0, nil
}

// findSignature finds where the archive begins, from a place on: behind the program of a self-extracting one.
func (v *volume) findSignature(from int64) (at int64, err error) {
	const longest = int64(len(signature) + 2)
	end := min(maxStub+longest, v.size)
	for at := from; at+longest <= end; {
		n := int(min(blockSize, end-at))
		b, err := v.bytes(at, n)
		if err != nil {
			return 0, err
		}
		if at == 0 && bytes.HasPrefix(b, []byte("RE\x7e\x5e")) {
			return 0, fmt.Errorf("%w: it is of a version before 1.5", ErrUnsupported)
		}
		if i := int64(bytes.Index(b, []byte(signature))); i >= 0 && at+i+longest <= end {
			return at + i, nil
		}
		// One that lies across the end of the block is found with the next.
		at += int64(n) - longest + 1
		if v.volume > 0 {
			break // only the first can be a program
		}
	}
	return 0, fmt.Errorf("%w: volume %d has no RAR signature", ErrFormat, v.volume)
}

// setSignature takes the format from the signature at a place, which has two bytes behind it.
func (v *volume) setSignature(at int64) error {
	b, err := v.bytes(at, len(signature)+2)
	if err != nil {
		return err
	}
	switch b = b[len(signature):]; {
	case b[0] == 0:
		v.format, v.mainAt = 4, at+int64(len(signature)+1)
	case b[0] == 1 && b[1] == 0:
		v.format, v.mainAt = 5, at+int64(len(signature)+2)
	case b[0] <= 4:
		return fmt.Errorf("%w: it is of a version after 7", ErrUnsupported)
	default:
		return fmt.Errorf("%w: an unknown RAR signature", ErrFormat)
	}
	return nil
}

// prefix returns how many bytes of a header tell its length.
func (v *volume) prefix() int {
	if v.format == 4 {
		return minHeader4
	}
	return minHeader5
}

// shortest returns the length of the shortest file header.
func (v *volume) shortest() int64 {
	if v.format == 4 {
		return fixedFile4
	}
	return fixedFile5
}

// read reads the header at a place.
func (v *volume) read(at int64) (*header, error) {
	b, err := v.bytes(at, v.prefix())
	if err != nil {
		return nil, err
	}
	n, err := v.length(b)
	if err != nil {
		return nil, fmt.Errorf("at %d of volume %d: %w", at, v.volume, err)
	}
	if b, err = v.bytes(at, n); err != nil {
		return nil, err
	}
	return v.decode(b, at)
}

// length returns that of a header, from its first bytes.
func (v *volume) length(b []byte) (int, error) {
	if v.format == 4 {
		return size4(b)
	}
	return size5(b)
}

// decode decodes the whole header b, which is at a place.
func (v *volume) decode(b []byte, at int64) (*header, error) {
	if err := v.budget.header(len(b)); err != nil {
		return nil, err
	}
	h, err := decode5, error(nil)
	if v.format == 4 {
		h = decode4
	}
	decoded, err := h(b)
	if err != nil {
		return nil, fmt.Errorf("at %d of volume %d: %w", at, v.volume, err)
	}
	return decoded, nil
}

// header returns the header at a place: from what was read last, else from the quick open record if that has it, else read now.
func (v *volume) header(at int64) (*header, error) {
	if v.has(at, v.prefix()) {
		b, err := v.bytes(at, v.prefix())
		if err != nil {
			return nil, err
		}
		if n, err := v.length(b); err != nil || v.has(at, n) {
			return v.read(at)
		}
	}
	if v.format == 5 && v.main.quickOpen > 0 {
		if v.cache == nil {
			cache, err := v.readQuickOpen()
			if err != nil {
				return nil, err
			}
			v.cache = cache
		}
		if h := v.cache.header(v, at); h != nil {
			return h, nil
		}
	}
	return v.read(at)
}
