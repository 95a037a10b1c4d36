// Package locale has the words of the pages in each language, and writes numbers, sizes and times as its readers do.
package locale

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Fallback is the language of whoever has asked for none that there is. Every text has to be there in it.
const Fallback = "en"

// Locale is a language.
type Locale struct {
	Tag  language.Tag
	Name string // in the language itself

	texts   map[string]text
	printer *message.Printer
}

// text is a translation: one form, or one for each plural category of the language (CLDR) that it has.
type text map[plural.Form]string

// forms are the plural categories by the names that translations give them.
var forms = map[string]plural.Form{
	"zero": plural.Zero, "one": plural.One, "two": plural.Two, "few": plural.Few, "many": plural.Many, "other": plural.Other,
}

// UnmarshalJSON reads "text", or {"one": …, "other": …}.
func (t *text) UnmarshalJSON(b []byte) error {
	var single string
	if json.Unmarshal(b, &single) == nil {
		*t = text{plural.Other: single}
		return nil
	}
	var named map[string]string
	if err := json.Unmarshal(b, &named); err != nil {
		return err
	}
	*t = make(text)
	for name, s := range named {
		form, ok := forms[name]
		if !ok {
			return fmt.Errorf("%q is not a plural category", name)
		}
		(*t)[form] = s
	}
	if _, ok := (*t)[plural.Other]; !ok {
		return fmt.Errorf("the category %q is missing", "other")
	}
	return nil
}

// Locales are the languages that there are.
type Locales struct {
	all     []*Locale // the fallback first
	matcher language.Matcher
}

// Load reads the translations <dir>/<language>/<group>.json, whose keys are "<group>.<name>". The name of a language is the text
// "language" of its group "site".
func Load(files fs.FS, dir string) (*Locales, error) {
	folders, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, fmt.Errorf("translations: %w", err)
	}
	ls := &Locales{}
	for _, folder := range folders {
		l, err := load(files, dir, folder.Name())
		if err != nil {
			return nil, fmt.Errorf("translations: %w", err)
		}
		if folder.Name() == Fallback {
			ls.all = append([]*Locale{l}, ls.all...)
		} else {
			ls.all = append(ls.all, l)
		}
	}
	tags := make([]language.Tag, len(ls.all))
	for i, l := range ls.all {
		tags[i] = l.Tag
	}
	ls.matcher = language.NewMatcher(tags)
	return ls, nil
}

func load(files fs.FS, dir, name string) (*Locale, error) {
	tag, err := language.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("the folder %s: %w", name, err)
	}
	l := &Locale{Tag: tag, texts: make(map[string]text), printer: message.NewPrinter(tag)}
	groups, err := fs.Glob(files, path.Join(dir, name, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range groups {
		b, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		var texts map[string]text
		if err := json.Unmarshal(b, &texts); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		group := strings.TrimSuffix(path.Base(file), ".json")
		for key, t := range texts {
			l.texts[group+"."+key] = t
		}
	}
	l.Name = l.T("site.language")
	return l, nil
}

// All returns the languages, the fallback first.
func (ls *Locales) All() []*Locale { return ls.all }

// Find returns the language that fits best: wanted, an own choice that may be empty, or else what accept, the header Accept-Language, says.
func (ls *Locales) Find(wanted, accept string) *Locale {
	_, i := language.MatchStrings(ls.matcher, wanted, accept)
	return ls.all[i]
}

// Has says whether there is a text.
func (l *Locale) Has(key string) bool { _, ok := l.texts[key]; return ok }

// Keys yields the key of each text.
func (l *Locale) Keys() func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range l.texts {
			if !yield(key) {
				return
			}
		}
	}
}

// T is a text with the arguments in the places of {0}, {1} …. One that is missing is its key, which a test finds.
func (l *Locale) T(key string, args ...any) string {
	t, ok := l.texts[key]
	if !ok {
		return key
	}
	return fill(t[plural.Other], args)
}

// N is a text in the form for a count, which is {0}; the arguments are {1} ….
func (l *Locale) N(key string, count int, args ...any) string {
	t, ok := l.texts[key]
	if !ok {
		return key
	}
	form := plural.Cardinal.MatchPlural(l.Tag, min(count, 1<<24), 0, 0, 0, 0)
	s, ok := t[form]
	if !ok {
		s = t[plural.Other]
	}
	return fill(s, append([]any{l.Number(int64(count))}, args...))
}

func fill(s string, args []any) string {
	if len(args) == 0 {
		return s
	}
	pairs := make([]string, 0, 2*len(args))
	for i, arg := range args {
		pairs = append(pairs, "{"+strconv.Itoa(i)+"}", Isolate(fmt.Sprint(arg)))
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// Isolate keeps a word of somebody else from turning the sentence that it is in, as <bdi> does (first strong isolate, Unicode TR 9). What
// [Turns], and could end that, is a replacement character (U+FFFD) in the result.
func Isolate(word string) string {
	if !strings.ContainsFunc(word, func(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) || fromTheRight(r) }) {
		return word
	}
	return "\u2068" + strings.Map(func(r rune) rune {
		if Turns(r) {
			return unicode.ReplacementChar
		}
		return r
	}, word) + "\u2069"
}

// Turns says whether r shows what follows it in another order (explicit directional formatting, Unicode TR 9).
func Turns(r rune) bool { return r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 }

// fromTheRight says whether r is in the blocks of scripts that are written from right to left.
func fromTheRight(r rune) bool {
	return r >= 0x0590 && r <= 0x08FF || r >= 0xFB1D && r <= 0xFDFF || r >= 0xFE70 && r <= 0xFEFF ||
		r >= 0x10800 && r <= 0x10FFF || r >= 0x1E800 && r <= 0x1EFFF
}

// Number writes a whole number with the language's separators.
func (l *Locale) Number(n int64) string { return l.printer.Sprint(n) }

// units of bytes.
var units = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// Size writes a number of bytes in three digits or so.
func (l *Locale) Size(bytes int64) string {
	n, unit := float64(bytes), 0
	for math.Abs(n) >= 999.5 && unit < len(units)-1 {
		n /= 1024
		unit++
	}
	if unit == 0 || n >= 99.95 {
		return l.printer.Sprintf("%.0f %s", n, units[unit])
	}
	return l.printer.Sprintf("%.1f %s", n, units[unit])
}

// Percent writes a part of a whole. Only all of it is 100 %, and only nothing 0 %.
func (l *Locale) Percent(part, whole int64) string {
	if whole <= 0 || part <= 0 {
		return l.printer.Sprintf("%d %%", 0)
	}
	if part >= whole {
		return l.printer.Sprintf("%d %%", 100)
	}
	return l.printer.Sprintf("%.1f %%", min(max(100*float64(part)/float64(whole), 0.1), 99.9))
}

// Time writes a moment of this machine's time zone in full.
func (l *Locale) Time(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// Ago writes how long ago a moment was, or how far off it is.
func (l *Locale) Ago(t, now time.Time) string {
	d := now.Sub(t)
	key := "site.ago"
	if d < 0 {
		key, d = "site.in", -d
	}
	if d < 5*time.Second {
		return l.T("site.now")
	}
	return l.T(key, l.Duration(d))
}

// Duration writes a time in its largest unit.
func (l *Locale) Duration(d time.Duration) string {
	for _, unit := range []struct {
		key  string
		unit time.Duration
	}{
		{"site.years", 365 * 24 * time.Hour},
		{"site.days", 24 * time.Hour},
		{"site.hours", time.Hour},
		{"site.minutes", time.Minute},
	} {
		if d >= unit.unit {
			return l.N(unit.key, int(d/unit.unit))
		}
	}
	return l.N("site.seconds", int(d/time.Second))
}
