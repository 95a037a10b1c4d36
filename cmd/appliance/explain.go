package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"

	"shoal/torrents"
)

// Why a start fails, for the person who has to mend it: each is one sentence with the setting, what it is about, and what to do.

// explainListen says why a port cannot be opened.
func explainListen(setting, addr string, err error) error {
	host, port, _ := net.SplitHostPort(addr) // checked with the configuration
	number, _ := strconv.Atoi(port)
	what := "port " + port
	if op, ok := errors.AsType[*net.OpError](err); ok {
		what = strings.ToUpper(strings.TrimRight(op.Net, "46")) + " " + what
	}
	switch errno := errnoOf(err); {
	case errno == syscall.EADDRINUSE:
		by := "stop the program that has it"
		if setting == "NFS_ADDR" {
			by += ", which on a NAS is often its own NFS server"
		}
		return fmt.Errorf("%s%s: %s is taken (%w): %s, or set %[1]s%[2]s to another port, such as %[6]s; "+
			"a container with a network of its own can publish it as another port instead",
			prefix, setting, what, errno, by, net.JoinHostPort(host, otherPort(number)))
	case errno == syscall.EACCES && number < firstOrdinaryPort:
		return fmt.Errorf("%s%s: %s is for root only (%w): set %[1]s%[2]s to one above 1023, or give Shoal the capability NET_BIND_SERVICE",
			prefix, setting, what, errno)
	case errno == syscall.EADDRNOTAVAIL:
		return fmt.Errorf("%s%s: %s is not an address of this machine (%w)", prefix, setting, addr, errno)
	}
	return fmt.Errorf("%s%s: %w", prefix, setting, err)
}

// firstOrdinaryPort is the first that is not for root only, as systems have it.
const firstOrdinaryPort = 1024

// otherPort is an example of another port.
func otherPort(port int) string {
	const away = 10000
	if port += away; port > math.MaxUint16 {
		port -= 2 * away
	}
	return strconv.Itoa(port)
}

// errnoOf returns what the system said, or 0.
func errnoOf(err error) syscall.Errno {
	errno, _ := errors.AsType[syscall.Errno](err)
	return errno
}

// explainOpen says which setting an error of opening the library is about, and what is wrong with a folder.
func explainOpen(cfg *Config, err error) error {
	setting, dir := "DATA_DIR", cfg.DataDir
	path, isPath := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, torrents.ErrBlocklist):
		return fmt.Errorf("%sBT_BLOCKLIST: %w", prefix, err)
	case errors.Is(err, torrents.ErrListen):
		return fmt.Errorf("%sBT_ADDR: %w", prefix, err)
	case errors.Is(err, torrents.ErrUplink):
		return fmt.Errorf("%sBT_INTERFACE: %w", prefix, err)
	case isPath && below(cfg.CacheDir, path.Path):
		// One of the folders may be in the other: the inner one it is then.
		if !below(cfg.DataDir, path.Path) || below(cfg.DataDir, cfg.CacheDir) {
			setting, dir = "CACHE_DIR", cfg.CacheDir
		}
	}
	return explainFolder(setting, dir, err)
}

// explainFolder says what is wrong with the folder of a setting.
func explainFolder(setting, dir string, err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		if why := explainPath(path, setting, dir); why != nil {
			return fmt.Errorf("%s%s: %w", prefix, setting, why)
		}
	}
	return fmt.Errorf("%s%s: the library cannot be opened: %w", prefix, setting, err)
}

// explainPath says what is wrong with something in a folder, or the folder, and what to do; nil if there is no more to say than the error does.
func explainPath(err *fs.PathError, setting, dir string) error {
	if errors.Is(err, torrents.ErrLocked) {
		return fmt.Errorf("another instance of Shoal is using %s: stop that one, or give this one a folder of its own", err.Path)
	}
	switch errno := errnoOf(err); errno {
	case syscall.EACCES, syscall.EPERM:
		return explainDenied(err.Path, dir, errno)
	case syscall.EROFS:
		return fmt.Errorf("%s is on a %w: mount the volume so that it can be written (without :ro in Compose), or name another folder",
			dir, errno)
	case syscall.ENOSPC, syscall.EDQUOT:
		return fmt.Errorf("the disk of %s has no room to write (%w): free some MiB there, or name a folder on another disk", dir, errno)
	case syscall.ENOTDIR:
		return fmt.Errorf("%s is a file (%w), and %s%s has to be a folder", err.Path, errno, prefix, setting)
	}
	return nil
}

// explainDenied says who may use what is at a path, or the nearest folder around it that is there, and who this process is. dir is the folder
// that the setting names.
func explainDenied(path, dir string, errno syscall.Errno) error {
	info, err := os.Stat(path)
	for err != nil && filepath.Dir(path) != path {
		path = filepath.Dir(path)
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil
	}
	me := self()
	whose, ok := owner(info)
	need := fs.FileMode(0o600) // of its owner
	if info.IsDir() {
		need = 0o700
	}
	switch {
	case !ok:
		return fmt.Errorf("%s has the permissions %v, and Shoal may not use it (%w)", path, info.Mode(), errno)
	case me.uid == 0:
		return fmt.Errorf("%s belongs to %v (%v), and Shoal runs as root without the capabilities to use it all the same (%w): "+
			"start it as its owner, in Compose with `user: \"%v\"`", path, whose, info.Mode(), errno, whose)
	case me.uid == whose.uid && info.Mode().Perm()&need == need:
		return fmt.Errorf("%s belongs to %v (%v), who Shoal runs as, but something else of this machine forbids it to use it (%w), "+
			"such as SELinux (volumes need :z or :Z there) or AppArmor", path, whose, info.Mode(), errno)
	}
	remedy := fmt.Sprintf("give it to Shoal (chown -R %v %s)", me, dir)
	if me.uid == whose.uid {
		remedy = fmt.Sprintf("let its owner use it (chmod u+rwX %s)", path)
	} else if !below(dir, path) { // what is around the folder is not for Shoal to have
		remedy = fmt.Sprintf("make %[2]s, give that to Shoal (chown -R %[1]v %[2]s), and let it get there (chmod o+x %[3]s)", me, dir, path)
	}
	return fmt.Errorf("%s belongs to %v (%v), and Shoal runs as %v, who may not use it (%w): %s, "+
		"or start Shoal as another user (SHOAL_PUID if it starts as root, `user:` in Compose)",
		path, whose, info.Mode(), me, errno, remedy)
}

// below says whether path is dir or in it.
func below(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// leastCache is what a cache needs to be of use, in bytes: a few pieces of the larger torrents.
const leastCache = 64 << 20

// checkDisk returns an error if the disk of the cache cannot hold what it needs at least, which is less if the limit is, and warns if
// the disk is smaller than the limit. What the cache has there already counts as free.
func checkDisk(cfg *Config, library *torrents.Library, log *slog.Logger) error {
	limit, room := library.CacheLimit(), library.Stats().CacheLimit
	least := int64(leastCache)
	if set := library.Limits().Cache.Value; set > 0 {
		least = min(least, set)
	}
	if room < least {
		return fmt.Errorf("%sCACHE_DIR: the disk of %s has room for a cache of %s, and at least %s are needed: free some, name a folder on "+
			"a larger disk, or set %[1]sCACHE_LIMIT below that if so little is enough for you",
			prefix, cfg.CacheDir, sizeText(room), sizeText(least))
	}
	if room < limit {
		log.Warn("the disk of the cache has less room than SHOAL_CACHE_LIMIT allows: the cache is as large as there is room for",
			"dir", cfg.CacheDir, "limit", sizeText(limit), "room", sizeText(room))
	}
	return nil
}

func sizeText(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }
