// Command sbom tells, for releases, what others wrote of Shoal.
//
//	sbom -o FILE PROGRAM    what a program consists of, as CycloneDX JSON, read from what the Go tool noted in it
//	sbom -texts FILE        the licences of all that, as these want to go where the program goes
//
// The licences are those of package licences, which a test compares with the program. The same source gives the same bytes.
package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	out := flag.String("o", "", "the `file` for the parts of a program")
	texts := flag.String("texts", "", "the `file` for the texts of licences")
	version := flag.String("release", "", "the `version` of the release; otherwise that which the program has noted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *texts != "" && flag.NArg() == 0:
		err = writeTexts(ctx, *texts)
	case *out != "" && flag.NArg() == 1:
		err = writeBill(*out, flag.Arg(0), *version)
	default:
		err = errors.New("use it as: sbom -o FILE PROGRAM, or sbom -texts FILE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// writeBill writes what a program consists of.
func writeBill(out, program, version string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("what the Go tool noted in %s: %w", program, err)
	}
	digest, err := digest(program)
	if err != nil {
		return err
	}
	b, err := encodeBill(info, digest, version)
	if err != nil {
		return fmt.Errorf("parts of %s: %w", program, err)
	}
	return os.WriteFile(out, b, 0o644)
}
