package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"time"
)

// identity is a user and a group, by their numbers.
type identity struct{ uid, gid int }

func (i identity) String() string { return fmt.Sprintf("%d:%d", i.uid, i.gid) }

// self is who this process is; -1:-1 where there are no such numbers.
func self() identity { return identity{os.Geteuid(), os.Getegid()} }

// wanted returns who PUID and PGID, which have been checked, say that the process is to be; false without PUID. The group is that of
// the user's number unless PGID says another one.
func (c *Config) wanted() (identity, bool) {
	uid, err := parseID(c.PUID)
	if c.PUID == "" || err != nil {
		return identity{}, false
	}
	gid, err := parseID(c.PGID)
	if c.PGID == "" || err != nil {
		gid = uid
	}
	return identity{uid, gid}, true
}

// parseID returns the number of a user or a group.
func parseID(text string) (int, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id > math.MaxInt32 {
		return 0, fmt.Errorf("%.40q has to be a number from 0 to %d", text, math.MaxInt32)
	}
	return int(id), nil
}

// maxUmask takes all permissions of others. Without its own, Shoal could not use what it makes.
const maxUmask = 0o077

func parseUmask(text string) (int, error) {
	mask, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mask > maxUmask {
		return 0, fmt.Errorf("%.40q has to be octal and to leave Shoal its own permissions, such as 022 or 077", text)
	}
	return int(mask), nil
}

// checkIdentity says what is wrong with the settings of this process.
func (c *Config) checkIdentity(mistake func(name, format string, args ...any)) {
	for name, id := range map[string]string{"PUID": c.PUID, "PGID": c.PGID} {
		if _, err := parseID(id); id != "" && err != nil {
			mistake(name, "%v", err)
		}
	}
	if _, err := parseUmask(c.Umask); c.Umask != "" && err != nil {
		mistake("UMASK", "%v", err)
	}
	if _, err := time.LoadLocation(c.TZ); err != nil {
		mistake("TZ", "%.80q has to be a time zone, such as Europe/Berlin", c.TZ)
	}
}

// setZone has times of the log in the zone of TZ, which has been checked. It is for the start of the program: nothing else may look at
// the time meanwhile.
func (c *Config) setZone() {
	if c.TZ == "" {
		return
	}
	if zone, err := time.LoadLocation(c.TZ); err == nil {
		time.Local = zone
	}
}

// become makes this process who the settings say, for good. When it is root and PUID names somebody else, DATA_DIR and CACHE_DIR are
// that user's then, and no capability is left. What only root may open has to be open before. It waits for the disk while what is in the folders is given
// away, until ctx ends.
func become(ctx context.Context, cfg *Config, log *slog.Logger) error {
	if mask, err := parseUmask(cfg.Umask); err == nil {
		setUmask(mask)
	}
	now := self()
	want, asked := cfg.wanted()
	switch {
	case now.uid == 0 && asked && want.uid != 0:
		if err := drop(ctx, cfg, want, log); err != nil {
			return err
		}
		log.Info("Shoal runs as another user from here on", "user", self().String())
	case now.uid == 0 && asked:
		log.Info("Shoal stays root, as SHOAL_PUID says")
	case now.uid == 0:
		log.Warn("Shoal runs as root, which it does not need: set SHOAL_PUID and SHOAL_PGID to the user and group that it is to be, " +
			"such as 1000, or start it as another user")
	case asked && want == now:
		log.Info("Shoal was started as the user that SHOAL_PUID names", "user", now.String())
	case asked:
		log.Warn("SHOAL_PUID and SHOAL_PGID are ignored: only root can become another user", "wanted", want.String(), "user", now.String())
	}
	if !asked && cfg.PGID != "" {
		log.Warn("SHOAL_PGID is ignored: it needs SHOAL_PUID")
	}
	return nil
}
