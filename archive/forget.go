package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Forget removes what is known of the archives whose keys are in a folder, which is the first element of these. Nothing is kept of them from
// then on, until Archive is asked for one. It waits for the disk.
func (s *Store) Forget(folder string) error {
	s.mu.Lock()
	delete(s.nested, folder)
	s.mu.Unlock()
	// Of most there is nothing, and their names need not be kept.
	if _, err := os.Stat(s.indexPath(folder)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s.mu.Lock()
	s.forgotten[folder] = struct{}{}
	s.mu.Unlock()
	if err := os.RemoveAll(s.indexPath(folder)); err != nil {
		return fmt.Errorf("forget the archives of %s: %w", folder, err)
	}
	return nil
}

func (s *Store) isForgotten(key string) bool {
	folder, _, _ := strings.Cut(key, "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.forgotten[folder]
	return ok
}

// remember is the end of being forgotten.
func (s *Store) remember(key string) {
	folder, _, _ := strings.Cut(key, "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.forgotten, folder)
}
