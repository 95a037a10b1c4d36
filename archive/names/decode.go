package names

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/saintfish/chardet"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
)

const (
	sampleSize    = 64 << 10 // bytes of names to guess by
	minConfidence = 80       // of chardet, in percent; wrong guesses of file names are around 50

	fallbackCharset = "IBM437" // APPNOTE 6.3.10, appendix D.1
)

// guessable are the charsets that a guess may be, in the order in which they are taken when chardet is as confident of
// several. Latin ones are missing: chardet recognizes the languages by words that may all be ASCII, so that it is
// confident of ISO 8859-1 where the one special letter is in CP437. UTF-16 and 32 are no charsets of archives.
var guessable = []string{"Shift_JIS", "EUC-JP", "EUC-KR", "Big5", "GB18030", "KOI8-R", "windows-1251"}

// Decoder makes UTF-8 of the names in one archive.
type Decoder struct {
	charset encoding.Encoding
	name    string // IANA's
	guessed bool
}

// NewDecoder returns the decoder for n entries. A name is, whichever is first:
//
//  1. Entry.Unicode, if the archive has it;
//  2. UTF-8, if the archive says so, or if it is valid;
//  3. in the charset, if it isn't empty;
//  4. in the charset that all the names together that are left are in, with a confidence of 80 %;
//  5. in CP437.
//
// The error says that the charset is unknown.
func NewDecoder(n int, at func(i int) Entry, charset string) (*Decoder, error) {
	if charset != "" {
		e, err := lookup(charset)
		if err != nil {
			return nil, err
		}
		return &Decoder{charset: e, name: charset}, nil
	}
	d := &Decoder{charset: charmap.CodePage437, name: fallbackCharset}
	var sample []byte
	for i := 0; i < n && len(sample) < sampleSize; i++ {
		if e := at(i); e.isLegacy() {
			sample = append(append(sample, e.Name[:min(len(e.Name), sampleSize)]...), '\n')
		}
	}
	if name := guess(sample); name != "" {
		if e, err := lookup(name); err == nil {
			d.charset, d.name, d.guessed = e, name, true
		}
	}
	return d, nil
}

func (e *Entry) isLegacy() bool { return e.Unicode == "" && !e.UTF8 && !utf8.ValidString(e.Name) }

// CheckCharset says what is wrong with a charset that is to be Options.Charset, by its name in the registry of IANA (RFC 2978).
func CheckCharset(charset string) error {
	_, err := lookup(charset)
	return err
}

func lookup(charset string) (encoding.Encoding, error) {
	e, err := ianaindex.IANA.Encoding(charset)
	if err != nil || e == nil {
		return nil, fmt.Errorf("unknown charset %.40q: names like Shift_JIS, GBK or cp866 are known", charset)
	}
	// Paths are taken apart where they have slashes, and most names are ASCII: UTF-16 and EBCDIC are for nobody.
	if slash, err := e.NewDecoder().String("a/b"); err != nil || slash != "a/b" {
		return nil, fmt.Errorf("charset %.40q has no ASCII in it, which names in archives have", charset)
	}
	return e, nil
}

// guess returns the charset of a sample of names, or "". The results of chardet come in any order: it has a goroutine
// for each charset, all of which have ended when it returns.
func guess(sample []byte) string {
	if len(sample) == 0 {
		return ""
	}
	results, err := chardet.NewTextDetector().DetectAll(sample)
	if err != nil {
		return ""
	}
	best, confidence := "", minConfidence-1
	for _, name := range guessable {
		i := slices.IndexFunc(results, func(r chardet.Result) bool {
			return strings.Replace(r.Charset, "GB-18030", "GB18030", 1) == name // IANA's
		})
		if i < 0 || results[i].Confidence <= confidence {
			continue
		}
		if e, err := lookup(name); err == nil && decodes(e, sample) {
			best, confidence = name, results[i].Confidence
		}
	}
	return best
}

// decodes says whether all of the sample has a meaning in a charset.
func decodes(charset encoding.Encoding, sample []byte) bool {
	decoded, err := charset.NewDecoder().Bytes(sample)
	return err == nil && !bytes.ContainsRune(decoded, utf8.RuneError)
}

// Decode returns a name in UTF-8, with U+FFFD for bytes that have no meaning.
func (d *Decoder) Decode(e Entry) string {
	switch {
	case e.Unicode != "":
		return strings.ToValidUTF8(e.Unicode, "\uFFFD")
	case !e.isLegacy():
		return strings.ToValidUTF8(e.Name, "\uFFFD")
	}
	decoded, err := d.charset.NewDecoder().String(e.Name)
	if err != nil {
		return strings.ToValidUTF8(e.Name, "\uFFFD")
	}
	return decoded
}
