//go:build linux

package appliance

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"shoal/test/netns"
)

// RunApart is Run for a package whose tests run in namespaces (package netns). There is no network there: prepare gets what they need
// beside the appliance. A goroutine that is left behind fails the package, but for those of the options.
func RunApart(m *testing.M, prepare func() error, leaks ...goleak.Option) int {
	code := netns.Run(func() error { return errors.Join(prepare(), Prepare()) }, func() int {
		code := Run(m)
		if err := goleak.Find(leaks...); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	})
	Remove()
	return code
}
