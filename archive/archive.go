package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"shoal/archive/inflate"
)

// Archive is a file that may be shown as a folder. It is safe for concurrent use.
type Archive struct {
	store  *Store
	key    string // below which what is known of it is kept
	name   string
	kind   kind
	codec  codec
	file   File
	beside Folder
	depth  int // archives that it is in, and itself

	gzip    *deflated // of what is compressed so; else nil
	list    flight[[]Member]
	counted bool // among Store.nested, whose mutex guards it
	known   bool // its members are among Store.members; likewise

	mu      sync.Mutex
	looked  bool   // whether what is kept was looked at for a reason
	reason  error  // which that was
	partial string // why what is listed is not all; empty if it is
}

// Member is a file, folder or link in an archive. Its place in the list is the same each time, also if the list was Partial before.
type Member struct {
	Parent  int // place in the list of the folder it is in, which comes before it; -1 at the top
	Name    string
	Size    int64     // in bytes
	ModTime time.Time // zero if the archive does not say
	Dir     bool
	Run     bool   // a program
	Link    string // what a symbolic link says, which is inside the archive; empty if it is none
	Hidden  bool   // it cannot be shown, and has its place in the list all the same

	File    File     // nil for folders and links
	Archive *Archive // of a file that may be shown as a folder itself; else nil
}

// Archive returns a file as an archive, or nil if it has the name of none, or of one that is better left a file. What is known of it is kept
// under the key, which is a path of safe names; whoever gives it says by that that the file will never be another one. Nothing is read.
func (s *Store) Archive(key, name string, f File, beside Folder) *Archive {
	return s.archive(key, name, f, beside, 1)
}

func (s *Store) archive(key, name string, f File, beside Folder, depth int) *Archive {
	k, c := kindOf(name)
	if k == noArchive || depth > s.opts.Limits.Depth {
		return nil
	}
	a := &Archive{store: s, key: key, name: name, kind: k, codec: c, file: f, beside: beside, depth: depth}
	if c == gzipCodec {
		a.gzip = &deflated{store: s, key: key + "/gzip" + pointsSuffix, source: f, format: inflate.Gzip, size: inflate.UnknownSize, level: a.level()}
	}
	if k.needsWhole(c) {
		a.list.linger = wholeLinger
	}
	return a
}

// wholeLinger is for how long a file is decoded of which somebody wanted the list, but did not wait for it: NFS clients come again.
const wholeLinger = time.Minute

// NeedsWhole says whether all of the archive has to be read to list it, and nobody has done so.
func (a *Archive) NeedsWhole() bool {
	if _, known := a.list.get(); known || !a.kind.needsWhole(a.codec) {
		return false
	}
	return !a.store.hasIndex(a.key + listSuffix)
}

// Shown says whether the archive should be a folder now: it is none if it was refused, and as long as all of it would have to be fetched
// only to list it, unless somebody has asked for that. It looks at small files on the disk at most.
func (a *Archive) Shown() bool {
	if a.Refused() != nil {
		return false
	}
	return !a.NeedsWhole() || a.mayFetchAll()
}

// Ask forgets why the archive was refused, and has it shown though all of it has to be fetched for that.
func (a *Archive) Ask() {
	a.store.writeIndex(a.key+askedSuffix, nil)
	a.store.removeIndex(a.key + refusedSuffix)
	a.mu.Lock()
	a.looked, a.reason = true, nil
	a.mu.Unlock()
	if a.gzip != nil {
		a.gzip.retry()
	}
	a.store.spool.Retry(folderOf(a.key))
	a.list.retry()
}

// Refused returns why the archive cannot be shown as a folder, if that is known. It reads a small file on the disk at most.
func (a *Archive) Refused() error {
	if err := a.list.failed(); err != nil {
		return err
	}
	if _, known := a.list.get(); known {
		return nil
	}
	a.mu.Lock()
	looked, reason := a.looked, a.reason
	a.mu.Unlock()
	if looked {
		return reason
	}
	if kept := a.store.readIndex(a.key + refusedSuffix); kept != nil {
		reason = refusal(kept)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.looked {
		a.looked, a.reason = true, reason
	}
	return a.reason
}

// WasRefused returns why the archive that a Store has under the key cannot be shown as a folder, if that was found out before. dir is
// Options.Dir of that Store, which need not be open. It reads a small file on the disk.
func WasRefused(dir, key string) error {
	// What cannot be read now is read again when somebody looks into the archive, and then logged.
	if reason, err := readIndexFile(indexPath(dir, key+refusedSuffix)); err == nil && reason != nil {
		return refusal(reason)
	}
	return nil
}

// ShownBefore says whether the archive that a Store has under the key should be a folder, by what was found out before and by its name. dir is
// Options.Dir of that Store, which need not be open. It looks at small files on the disk.
func ShownBefore(dir, key, name string) bool {
	return WasRefused(dir, key) == nil && (!NeedsWhole(name) || hasIndexFile(indexPath(dir, key+listSuffix)) || wasAsked(dir, key))
}

// wasAsked says whether somebody has asked for the archive, which holds in all versions, as it is nothing that was learned.
func wasAsked(dir, key string) bool {
	_, err := os.Stat(indexPath(dir, key+askedSuffix))
	return err == nil
}

// refusal is an error that was kept on the disk, in its own words.
type refusal string

func (r refusal) Error() string { return string(r) }

// Unwrap returns one of those that Refuses finds: which one it was is not kept.
func (r refusal) Unwrap() error { return ErrFormat }

const (
	listSuffix    = "/list"
	refusedSuffix = "/refused"
	askedSuffix   = "/asked"
	pointsSuffix  = ".points"
)

// Members lists what is inside. It reads the archive if nobody ever has, and waits for that as long as ctx lasts. Errors of the archive,
// which are wrapped ones of this package or of those for the formats, come again; others, of reading it, need not.
func (a *Archive) Members(ctx context.Context) ([]Member, error) {
	if err := a.Refused(); err != nil {
		return nil, err
	}
	if err := a.store.countNested(a); err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.looked, a.reason = true, err
		return nil, err
	}
	return a.list.do(ctx, a.store, a.read)
}

// Partial returns why what Members lists is not all that is inside, or nothing if it is, or nothing is listed. What is listed later, after a
// restart, begins with the same.
func (a *Archive) Partial() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.partial
}

func (a *Archive) setPartial(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.partial = why
}

// mayFetchAll says whether the archive may be read from end to end to list it: all of it is there, or somebody asked.
func (a *Archive) mayFetchAll() bool {
	if wasAsked(a.store.opts.Dir, a.key) {
		return true
	}
	for n := 0; ; n++ {
		f, err := a.volume(n)
		if err != nil {
			return n > 0
		}
		if !holds(f, 0, f.Size()) {
			return false
		}
	}
}

// read lists what is inside, and keeps why not if that will come again.
func (a *Archive) read(ctx context.Context) (list []Member, err error) {
	list, err = guarded(ctx, a.readKept)
	if err == nil {
		err = a.store.countMembers(a, weigh(list))
	}
	if err != nil && Refuses(err) {
		a.store.log.Debug("an archive is refused", "archive", a.key, "err", err) // who knows where it is tells people
		a.store.writeIndex(a.key+refusedSuffix, []byte(err.Error()))
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// readKept lists what is inside, from what is kept of it or from the archive.
func (a *Archive) readKept(ctx context.Context) (list []Member, err error) {
	if saved := a.store.readIndex(a.key + listSuffix); saved != nil {
		list, err := a.members(ctx, saved)
		if err == nil && (a.Partial() == "" || !a.mayFetchAll()) {
			return list, nil
		}
		a.store.removeIndex(a.key + listSuffix)
		a.setPartial("")
	}
	saved, err := a.index(ctx)
	if err != nil {
		return nil, err
	}
	if list, err = a.members(ctx, saved); err != nil {
		return nil, err
	}
	a.store.writeIndex(a.key+listSuffix, saved)
	return list, nil
}

// index reads the archive, and returns what is to be kept of that.
func (a *Archive) index(ctx context.Context) ([]byte, error) {
	if err := a.checkNested(ctx); err != nil {
		return nil, err
	}
	if a.depth > 1 || !a.kind.needsWhole(a.codec) { // how long that takes is known by who asks for it
		bound, stop := limitWork(ctx, a.store.opts.Limits.Work)
		defer stop()
		ctx = bound
	}
	saved, err := a.indexKind(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrLimit) {
		err = cause
	}
	return saved, err
}

func (a *Archive) indexKind(ctx context.Context) ([]byte, error) {
	switch a.kind {
	case zipKind:
		return a.indexZip(ctx)
	case tarKind:
		return a.indexTar(ctx)
	case compressedTarKind, compressedKind:
		return a.indexCompressed(ctx)
	case rarKind:
		return a.indexRAR(ctx)
	case splitKind:
		return a.indexSplit(ctx)
	default:
		return nil, fmt.Errorf("%w: %q", ErrUnsupported, a.name)
	}
}

// members makes the list of what was kept.
func (a *Archive) members(_ context.Context, saved []byte) ([]Member, error) {
	switch a.kind {
	case zipKind:
		return a.zipMembers(saved)
	case tarKind:
		return a.tarMembers(a.file, saved)
	case compressedTarKind, compressedKind:
		return a.compressedMembers(saved)
	case rarKind:
		return a.rarMembers(saved)
	case splitKind:
		return a.splitMembers(saved)
	default:
		return nil, fmt.Errorf("%w: %q", ErrUnsupported, a.name)
	}
}

// level returns how many archives the one is in. What is decoded in it takes its place among the decoders of that level, as it may wait
// for those of the levels below.
func (a *Archive) level() int { return a.depth - 1 }

// memberKey is where what is known of a member is kept.
func (a *Archive) memberKey(entry int) string { return a.key + "/" + strconv.Itoa(entry) }
