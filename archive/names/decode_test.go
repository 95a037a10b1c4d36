package names

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

var (
	japaneseNames = []string{
		"新しいフォルダー/ソードアート・オンライン 第01話.mp4", "新しいフォルダー/表示の説明.txt", "コピー/写真のアルバム.jpg",
		"音楽/さくらのうた.mp3", "能力/データの一覧表.xls", "ドキュメント/これは日本語のファイルです.doc",
	}
	chineseNames = []string{
		"新建文件夹/中国的历史和文化.txt", "学习资料/第一课 我们的学校.pdf", "电影/大话西游之月光宝盒.avi", "说明/使用方法和注意事项.doc",
		"照片/在北京的时候.jpg", "音乐/我和你的故事.mp3",
	}
	taiwaneseNames = []string{"新增資料夾/這是我們的第一個檔案.txt", "音樂/你是不是可以來這裡.mp3", "功能說明/使用者的資料.doc", "國家/台灣的歷史和人民.pdf"}
	koreanNames    = []string{"새 폴더/한국어 파일 이름입니다.txt", "음악/사랑하는 사람에게 보내는 노래.mp3", "자료/대한민국의 역사와 문화.doc", "사진/그대와 나의 이야기.jpg"}
	russianNames   = []string{
		"Новая папка/Это документ на русском языке.txt", "Музыка/Песня о том что не было.mp3", "Книги/Сказка о царе и его сыновьях.fb2",
		"Фильмы/Место встречи изменить нельзя.avi", "Разное/История государства российского.doc",
	}
	westernNames = []string{"Música/canción de la montaña.mp3", "Übung/Größe der Häuser.txt", "été/déjà vu à la fenêtre.doc", "README.TXT"}
)

func encode(t testing.TB, e encoding.Encoding, names []string) []Entry {
	t.Helper()
	var entries []Entry
	for _, name := range names {
		raw, err := e.NewEncoder().String(name)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		entries = append(entries, Entry{Name: raw})
	}
	return entries
}

// TestCharsets decodes names of old archives. Backslashes separate in them: half of what is in Shift-JIS and GBK has
// one as second byte.
func TestCharsets(t *testing.T) {
	tests := map[string]struct {
		encoding encoding.Encoding
		names    []string
		charset  string // told
		want     string // guessed, or what was told
	}{
		"Shift-JIS":          {japanese.ShiftJIS, japaneseNames, "", "Shift_JIS"},
		"Shift-JIS, told":    {japanese.ShiftJIS, japaneseNames[:1], "shift_jis", "shift_jis"},
		"EUC-JP":             {japanese.EUCJP, japaneseNames, "", "EUC-JP"},
		"GBK":                {simplifiedchinese.GBK, chineseNames, "", "GB18030"},
		"GBK, told":          {simplifiedchinese.GBK, chineseNames[:1], "GBK", "GBK"},
		"Big5":               {traditionalchinese.Big5, taiwaneseNames, "", "Big5"},
		"EUC-KR":             {korean.EUCKR, koreanNames, "", "EUC-KR"},
		"windows-1251, told": {charmap.Windows1251, russianNames, "windows-1251", "windows-1251"},
		"KOI8-R, told":       {charmap.KOI8R, russianNames, "koi8-r", "koi8-r"},
		"CP866, told":        {charmap.CodePage866, russianNames, "cp866", "cp866"},
		"CP437":              {charmap.CodePage437, westernNames, "", "IBM437"},
		"CP437, one letter":  {charmap.CodePage437, []string{"é.txt"}, "", "IBM437"},
		"CP850, told":        {charmap.CodePage850, append(westernNames, "São Paulo.txt"), "cp850", "cp850"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			entries := encode(t, test.encoding, test.names)
			for i := range entries {
				entries[i].Backslash = true
			}
			for range 10 { // the order of chardet's results differs
				tree := build(t, entries, Options{Charset: test.charset})
				if got, guessed := tree.Charset(); got != test.want || guessed != (test.charset == "" && got != "IBM437") {
					t.Fatalf("decoded as %s, guessed %t, wanted %s", got, guessed, test.want)
				}
				if got := paths(tree, len(entries)); !slices.Equal(got, test.names) {
					t.Fatalf("decoded %q, wanted %q", got, test.names)
				}
			}
		})
	}
}

// TestUnsure has names that chardet recognizes by the letters' frequency, if at all: 20 % sure of another charset for CP866, 50 % of the right
// one for the others. They are shown wrongly, but as names, and all different.
func TestUnsure(t *testing.T) {
	for name, e := range map[string]encoding.Encoding{"CP866": charmap.CodePage866, "windows-1251": charmap.Windows1251, "KOI8-R": charmap.KOI8R} {
		tree := build(t, encode(t, e, russianNames), Options{})
		if got, guessed := tree.Charset(); got != "IBM437" || guessed {
			t.Errorf("%s: decoded as %s, guessed %t", name, got, guessed)
		}
		if len(tree.Dropped()) != 0 {
			t.Errorf("%s: dropped %v", name, tree.Dropped())
		}
		check(t, tree)
	}
}

// TestMixed has names for whose charset the archive has better signs than a guess.
func TestMixed(t *testing.T) {
	sjis := encode(t, japanese.ShiftJIS, japaneseNames)
	entries := append(slices.Clone(sjis),
		Entry{Name: "été"},
		Entry{Name: "flag\xff", UTF8: true},
		Entry{Name: "\x82\xb1", Unicode: "extra/こ"},
		Entry{Name: "x", Unicode: "bad\xff"},
		Entry{Name: "ascii"},
	)
	want := append(slices.Clone(japaneseNames), "été", "flag\uFFFD", "extra/こ", "bad\uFFFD", "ascii")
	if got := paths(build(t, entries, Options{}), len(entries)); !slices.Equal(got, want) {
		t.Errorf("decoded %q, wanted %q", got, want)
	}
	// What is said of names that are UTF-8 must not spoil the guess of the others, nor be part of it.
	if got, guessed := build(t, entries[len(sjis):], Options{}).Charset(); guessed {
		t.Errorf("guessed %s of names that need no guess", got)
	}
}

func TestUnknownCharset(t *testing.T) {
	for _, charset := range []string{"klingon", "UTF-16LE", "IBM037"} { // the last is EBCDIC
		_, err := Build(0, nil, Options{Charset: charset})
		if err == nil || !strings.Contains(err.Error(), `"`+charset+`"`) {
			t.Errorf("error %v doesn't name the charset %s", err, charset)
		}
	}
}
