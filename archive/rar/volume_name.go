package rar

import (
	"fmt"
	"strconv"
	"strings"
)

// The extensions of old names go from .r00 to .z99.
const (
	perLetter = 100
	oldNames  = ('z' - 'r' + 1) * perLetter
	// maxDigits keeps numbers within an int, and names a person's.
	maxDigits = 6
)

// VolumeName returns the name of volume n, from 0, of the set whose volume 0 has the name first, in its upper or lower case:
//
//	x.part1.rar x.part2.rar … x.part10.rar    with as many zeros in front as first has
//	x.rar x.r00 … x.r99 x.s00 … x.z99
//	x.001 x.002 … x.999 x.1000
//
// where volume 0 of the first two may be an .exe. A set of the last may also be one file that was cut into pieces, which is
// to be joined and not read as volumes: the second has no signature then.
func VolumeName(first string, n int) (name string, ok bool) {
	if n < 0 {
		return "", false
	}
	stem, ext := cutExt(first)
	if n == 0 {
		_, number, ok := Volume(first)
		return first, ok && number == 0 || strings.EqualFold(ext, "exe")
	}
	if isDigits(ext) {
		number, err := strconv.Atoi(ext)
		return fmt.Sprintf("%s.%0*d", stem, len(ext), n+1), err == nil && number == 1 && len(ext) >= 3
	}
	if !strings.EqualFold(ext, "rar") && !strings.EqualFold(ext, "exe") {
		return "", false
	}
	if base, digits, ok := cutPart(stem); ok {
		number, err := strconv.Atoi(digits)
		return fmt.Sprintf("%s%0*d.%s", base, len(digits), n+1, like(ext, "rar")), err == nil && number == 1
	}
	if n > oldNames {
		return "", false
	}
	letter := string(rune('r' + (n-1)/perLetter))
	return fmt.Sprintf("%s.%s%02d", stem, like(ext, letter), (n-1)%perLetter), true
}

// Volume returns the set that a file with this name may belong to, and its number in it, from 0. Sets are the same if the volumes
// are of one: what it is made of is nobody's business. It is the inverse of VolumeName, but for .exe without a number,
// which are seldom archives.
func Volume(name string) (set string, n int, ok bool) {
	stem, ext := cutExt(name)
	low := strings.ToLower(ext)
	if isDigits(ext) {
		number, err := strconv.Atoi(ext)
		ok = err == nil && number > 0 && len(ext) >= 3 && (len(ext) == 3 || ext[0] != '0')
		return stem + ".001", number - 1, ok
	}
	if low == "rar" || low == "exe" {
		base, digits, numbered := cutPart(stem)
		if !numbered {
			return stem + ".rar", 0, low == "rar"
		}
		number, err := strconv.Atoi(digits)
		// Only the first can be a program.
		ok = err == nil && number > 0 && (low == "rar" || number == 1)
		return base[:len(base)-len(partMark)] + partMark + "*.rar", number - 1, ok
	}
	if len(low) == 3 && low[0] >= 'r' && low[0] <= 'z' && isDigits(low[1:]) {
		number, err := strconv.Atoi(low[1:])
		return stem + ".rar", 1 + int(low[0]-'r')*perLetter + number, err == nil
	}
	return "", 0, false
}

const partMark = ".part"

// cutPart takes the digits of ".partN" off a name without extension. base ends with the mark.
func cutPart(stem string) (base, digits string, ok bool) {
	base = strings.TrimRight(stem, "0123456789")
	digits = stem[len(base):]
	ok = isDigits(digits) && len(base) >= len(partMark) && strings.EqualFold(base[len(base)-len(partMark):], partMark)
	return base, digits, ok
}

func cutExt(name string) (stem, ext string) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i+1:]
}

func isDigits(s string) bool {
	return s != "" && len(s) <= maxDigits && strings.Trim(s, "0123456789") == ""
}

// like returns s in upper case if the model is.
func like(model, s string) string {
	if strings.ToUpper(model) == model {
		return strings.ToUpper(s)
	}
	return s
}
