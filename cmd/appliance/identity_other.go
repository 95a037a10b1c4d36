//go:build !unix

package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
)

// setUmask does nothing: there is none.
func setUmask(int) {}

// drop is never called: there is no root.
func drop(context.Context, *Config, identity, *slog.Logger) error { return errors.ErrUnsupported }

// owner cannot tell.
func owner(fs.FileInfo) (identity, bool) { return identity{}, false }
