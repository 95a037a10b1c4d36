//go:build linux

package seeder

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// WriteFiles makes files to seed, of these sizes in bytes by path below dir, of random bytes that are the same each time. It returns the
// SHA-256 of each, in hexadecimal digits.
func WriteFiles(tb testing.TB, dir string, sizes map[string]int) map[string]string {
	tb.Helper()
	sums := make(map[string]string)
	for path, size := range sizes {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			tb.Fatal(err)
		}
		b := make([]byte, size)
		_, _ = rand.NewChaCha8(sha256.Sum256([]byte(path))).Read(b) // never fails
		if err := os.WriteFile(full, b, 0o644); err != nil {
			tb.Fatal(err)
		}
		sum := sha256.Sum256(b)
		sums[path] = hex.EncodeToString(sum[:])
	}
	return sums
}
