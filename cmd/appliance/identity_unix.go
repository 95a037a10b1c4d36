//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"syscall"

	"shoal/torrents"
)

// setUmask sets what is taken from the permissions of all that this process makes from now on.
func setUmask(mask int) { syscall.Umask(mask) }

// owner returns whose a file is.
func owner(info fs.FileInfo) (identity, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, false
	}
	return identity{int(st.Uid), int(st.Gid)}, true
}

// drop gives the folders to a user who is not root, and becomes that user with all threads. The way back is closed, which it makes sure of.
func drop(ctx context.Context, cfg *Config, to identity, log *slog.Logger) error {
	// First what fails without the capabilities, when nothing is changed yet.
	if err := syscall.Setgroups(nil); err != nil {
		return explainDrop(cfg, to, err)
	}
	if err := giveFolders(ctx, cfg, to, log); err != nil {
		return err
	}
	if err := syscall.Setgid(to.gid); err != nil {
		return explainDrop(cfg, to, err)
	}
	if err := syscall.Setuid(to.uid); err != nil {
		return explainDrop(cfg, to, err)
	}
	if err := checkDropped(to); err != nil {
		return fmt.Errorf("%s: Shoal has become %v, but %w: start it as that user instead", cfg.name("PUID"), to, err)
	}
	return nil
}

// checkDropped returns an error if this process is not only the user, or can become root again.
func checkDropped(to identity) error {
	groups, err := syscall.Getgroups()
	if err != nil {
		return fmt.Errorf("its groups are unknown: %w", err)
	}
	// Some systems have the group itself among them.
	if slices.ContainsFunc(groups, func(g int) bool { return g != to.gid }) || self() != to {
		return fmt.Errorf("is %v with the groups %v", self(), groups)
	}
	if syscall.Setuid(0) == nil || to.gid != 0 && syscall.Setgid(0) == nil {
		return errors.New("could become root again")
	}
	return checkPowerless()
}

// explainDrop says what is missing to become another user.
func explainDrop(cfg *Config, to identity, err error) error {
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%s: Shoal was started as root, but without the capabilities SETUID and SETGID that becoming %v takes: "+
			"start the container with `user: \"%v\"` instead, and give it DATA_DIR and CACHE_DIR (chown -R %v), "+
			"or add the capabilities CHOWN, DAC_OVERRIDE, SETUID and SETGID", cfg.name("PUID"), to, to, to)
	}
	return fmt.Errorf("%s: Shoal cannot become %v: %w; in a container the numbers have to be among those that it has", cfg.name("PUID"), to, err)
}

// giveFolders makes the folders if they are missing, and gives them to a user with all that is in them, if they are somebody else's.
func giveFolders(ctx context.Context, cfg *Config, to identity, log *slog.Logger) error {
	for _, of := range []struct{ setting, dir string }{{"DATA_DIR", cfg.DataDir}, {"CACHE_DIR", cfg.CacheDir}} {
		err := giveFolder(ctx, cfg, of.dir, to, log)
		switch {
		case errors.Is(err, errLink):
			log.Info("a folder is not given to the user that Shoal is going to be, as a link leads to it that is not root's: "+
				"the setting may name the folder itself", "setting", prefix+of.setting, "err", err)
		case errors.Is(err, fs.ErrPermission):
			// Root with few capabilities: the user may, and if not, opening the library tells.
		case errors.Is(err, torrents.ErrLocked):
			return explainOpen(cfg, err) // which may be about the other one
		case err != nil:
			return explainFolder(of.setting, of.dir, err)
		}
	}
	return nil
}

// giveFolder is giveFolders for one of them.
func giveFolder(ctx context.Context, cfg *Config, dir string, to identity, log *slog.Logger) error {
	root, err := openFolder(dir, to)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // nothing was written
	g := gift{to: to, dir: dir, root: root, log: log}
	if g.top, err = root.Stat("."); err != nil {
		return err
	}
	if watch, err := os.Stat(cfg.WatchDir); err == nil {
		g.watch = watch
	}
	if needed, err := g.isNeeded(); err != nil || !needed {
		return err
	}
	// Another instance that runs as somebody else must not lose its files.
	if err := torrents.CheckUnlocked(cfg.DataDir, cfg.CacheDir); err != nil {
		return err
	}
	log.Info("giving a folder to the user that Shoal is going to be", "dir", dir, "user", to.String())
	return g.give(ctx)
}
