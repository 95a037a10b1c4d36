package admin

import (
	"path"
	"strings"
)

const plainText = "text/plain; charset=utf-8"

// mediaTypes has what a browser may show, by extension: nothing of it is a program. It is a table of ours, as that of
// package mime depends on the machine, and no look is taken at the data, which may have to be fetched.
var mediaTypes = map[string]string{
	".3gp": "video/3gpp", ".avi": "video/x-msvideo", ".flv": "video/x-flv", ".m2ts": "video/mp2t", ".m4v": "video/x-m4v",
	".mkv": "video/x-matroska", ".mov": "video/quicktime", ".mp4": "video/mp4", ".mpeg": "video/mpeg", ".mpg": "video/mpeg",
	".mts": "video/mp2t", ".ogv": "video/ogg", ".ts": "video/mp2t", ".vob": "video/mpeg", ".webm": "video/webm", ".wmv": "video/x-ms-wmv",

	".aac": "audio/aac", ".aiff": "audio/aiff", ".ape": "audio/x-ape", ".flac": "audio/flac", ".m4a": "audio/mp4", ".m4b": "audio/mp4",
	".mka": "audio/x-matroska", ".mp3": "audio/mpeg", ".oga": "audio/ogg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".wav": "audio/wav",
	".wma": "audio/x-ms-wma",

	".avif": "image/avif", ".bmp": "image/bmp", ".gif": "image/gif", ".heic": "image/heic", ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".jxl": "image/jxl", ".png": "image/png", ".tif": "image/tiff", ".tiff": "image/tiff", ".webp": "image/webp",

	".ass": plainText, ".cue": plainText, ".log": plainText, ".md": plainText, ".md5": plainText, ".nfo": plainText, ".sfv": plainText,
	".sha1": plainText, ".sha256": plainText, ".srt": plainText, ".ssa": plainText, ".txt": plainText, ".vtt": "text/vtt; charset=utf-8",
}

// mediaTypeOf returns the media type of a file, and whether a browser may show it. Whatever is in no table has none that says what it
// is, so that an HTML page or a script is not taken for one of ours wherever somebody may have linked it.
func mediaTypeOf(name string) (mediaType string, inline bool) {
	if t, ok := mediaTypes[strings.ToLower(path.Ext(name))]; ok {
		return t, true
	}
	return "application/octet-stream", false
}

// disposition is the header Content-Disposition (RFC 6266): the name in ASCII for old clients, and as it is (RFC 8187).
func disposition(name string, inline bool) string {
	kind := "attachment"
	if inline {
		kind = "inline"
	}
	var ascii, whole strings.Builder
	for _, r := range name {
		if !isTokenByte(r) && !strings.ContainsRune(" ()[],", r) {
			r = '_'
		}
		ascii.WriteRune(r)
	}
	const digits = "0123456789ABCDEF"
	for _, b := range []byte(name) {
		if isTokenByte(rune(b)) {
			whole.WriteByte(b)
		} else {
			whole.Write([]byte{'%', digits[b>>4], digits[b&15]})
		}
	}
	return kind + `; filename="` + ascii.String() + `"; filename*=UTF-8''` + whole.String()
}

// isTokenByte says whether a character means itself in any parameter of a header (part of attr-char, RFC 8187, section 3.2.1).
func isTokenByte(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~!$&+^", r)
}

// mediaKind is what a file is for people: video, audio, image, text, or any other file.
func mediaKind(name string) string {
	mediaType, shown := mediaTypeOf(name)
	if !shown {
		return "file"
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	return kind
}
