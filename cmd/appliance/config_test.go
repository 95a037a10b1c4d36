package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/torrents"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// defaults is the configuration that CONTRACT promises when nothing is set.
func defaults() *Config {
	return &Config{
		DataDir: "./data", CacheDir: "data/cache", CacheLimit: 20 << 30,
		NFSAddr: ":2049", PortmapAddr: ":111", NFSReadWait: 50 * time.Second, ReadGiveUp: 5 * time.Minute, MDNS: "auto",
		NFSAllow: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
			netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
		},
		HTTPAddr: ":4444", HTTPBasePath: "/", AdminUser: "admin", Archives: torrents.ArchivesFolder,
		ArchiveCharset: "auto", ArchiveDepth: 2, ArchiveMemory: 64 << 20,
		BTAddr: ":42069", BTDHT: true, BTPEX: true, BTLSD: true, BTUTP: true, BTTCP: true, BTIPv6: true, BTUPnP: false,
		BTSeed: true, BTMaxPeers: 50, BTIdle: 10 * time.Minute,
		BTEncryption: torrents.EncryptionAllow,
		LogLevel:     slog.LevelInfo, LogFormat: "text",
	}
}

func TestDefaults(t *testing.T) {
	var empty []string // as Compose sets what has no value
	for field := range fields() {
		empty = append(empty, prefix+field.Tag.Get("env")+"=", prefix+field.Tag.Get("env")+"_FILE=")
	}
	for what, environ := range map[string][]string{
		"nothing":         nil,
		"nothing of ours": {"PATH=/bin", "TZ=UTC", "NFS_ADDR=x", "shoal_nfs_addr=x", "XSHOAL_NFS_ADDR=x", "SHOAL", "=x", ""},
		"empty values":    empty,
	} {
		cfg, mistakes := parseConfig(environ)
		if len(mistakes) > 0 {
			t.Errorf("with %s set, the mistakes are %q, want none", what, mistakes)
		}
		cfg.given = nil
		if want := defaults(); !reflect.DeepEqual(cfg, want) {
			t.Errorf("with %s set, the configuration is\n%+v, want\n%+v", what, cfg, want)
		}
	}
}

// TestSetToDefault: whoever writes down the defaults is not warned.
func TestSetToDefault(t *testing.T) {
	var environ []string
	for field := range fields() {
		environ = append(environ, prefix+field.Tag.Get("env")+"="+field.Tag.Get("envDefault"))
	}
	cfg, mistakes := parseConfig(environ)
	cfg.given = nil
	if want := defaults(); !reflect.DeepEqual(cfg, want) || len(mistakes) > 0 {
		t.Errorf("with the defaults written down, the configuration is\n%+v with the mistakes %q, want\n%+v with none",
			cfg, mistakes, want)
	}
}

// samples are a value of each variable, and what it means.
var samples = map[string]struct {
	value string
	want  any
}{
	"DATA_DIR":            {"/srv/data", "/srv/data"},
	"CACHE_DIR":           {"/srv/cache", "/srv/cache"},
	"CACHE_LIMIT":         {"100GB", byteSize(100e9)},
	"NFS_ADDR":            {"192.168.1.2:2050", "192.168.1.2:2050"},
	"PORTMAP_ADDR":        {":112", ":112"},
	"NFS_ALLOW":           {"192.168.1.0/24,fd00::/8", []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd00::/8")}},
	"NFS_READ_WAIT":       {"1m30s", 90 * time.Second},
	"READ_GIVE_UP":        {"0", time.Duration(0)},
	"MDNS":                {"true", "true"},
	"HTTP_ADDR":           {"[::1]:80", "[::1]:80"},
	"HTTP_BASE_PATH":      {"/shoal", "/shoal"},
	"ALLOWED_HOSTS":       {"nas,nas.example.org", []string{"nas", "nas.example.org"}},
	"TRUSTED_PROXIES":     {"172.18.0.0/16,::1/128", []netip.Prefix{netip.MustParsePrefix("172.18.0.0/16"), netip.MustParsePrefix("::1/128")}},
	"ADMIN_USER":          {"root", "root"},
	"ADMIN_PASSWORD":      {"a b=c", "a b=c"},
	"API_TOKEN":           {"a=b==", "a=b=="},
	"ROUTES":              {"films,tv series", []string{"films", "tv series"}},
	"WATCH_DIR":           {"/srv/watch", "/srv/watch"},
	"ARCHIVES":            {"both", torrents.ArchivesBoth},
	"ARCHIVE_CHARSET":     {"shift_jis", "shift_jis"},
	"ARCHIVE_DEPTH":       {"4", 4},
	"ARCHIVE_MEMORY":      {"16MiB", byteSize(16 << 20)},
	"BT_ADDR":             {"0.0.0.0:6881", "0.0.0.0:6881"},
	"BT_DHT":              {"false", false},
	"BT_PEX":              {"false", false},
	"BT_LSD":              {"false", false},
	"BT_UTP":              {"false", false},
	"BT_TCP":              {"false", false},
	"BT_IPV6":             {"false", false},
	"BT_UPNP":             {"true", true},
	"BT_DOWN_LIMIT":       {"10MiB", byteSize(10 << 20)},
	"BT_UP_LIMIT":         {"500KB", byteSize(500e3)},
	"BT_SEED":             {"false", false},
	"BT_MAX_PEERS":        {"1", 1},
	"BT_IDLE":             {"1h", time.Hour},
	"BT_PEERS":            {"127.0.0.1:6881,nas:6882", []string{"127.0.0.1:6881", "nas:6882"}},
	"BT_ANNOUNCE_IP":      {"192.0.2.1,2001:db8::1", []string{"192.0.2.1", "2001:db8::1"}},
	"BT_INTERFACE":        {"tun0", "tun0"},
	"BT_PROXY":            {"socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080"},
	"BT_BLOCKLIST":        {"/srv/blocklist", "/srv/blocklist"},
	"BT_EXTRA_TRACKERS":   {"udp://192.0.2.1:80", []string{"udp://192.0.2.1:80"}},
	"BT_ENCRYPTION":       {"require", torrents.EncryptionRequire},
	"FETCH_ALLOW_PRIVATE": {"true", true},
	"METRICS_PER_TORRENT": {"true", true},
	"LOG_LEVEL":           {"debug", slog.LevelDebug},
	"LOG_FORMAT":          {"json", "json"},
	"PUID":                {"1000", "1000"},
	"PGID":                {"1000", "1000"},
	"UMASK":               {"022", "022"},
	"TZ":                  {"Europe/Vienna", "Europe/Vienna"},
}

// TestEachVariable sets each variable alone, and by a file: only its own field changes.
func TestEachVariable(t *testing.T) {
	for field := range fields() {
		tag := field.Tag.Get("env")
		sample, ok := samples[tag]
		if !ok {
			t.Errorf("no test knows a value for %s; name it here", tag)
			continue
		}
		for _, assignment := range []string{
			prefix + tag + "=" + sample.value,
			prefix + tag + "_FILE=" + inFile(t, sample.value+"\n"),
			"FILE__" + prefix + tag + "=" + inFile(t, sample.value+"\n"),
		} {
			cfg, mistakes := parseConfig([]string{assignment})
			if len(cfg.warnings)+len(mistakes) > 0 {
				t.Errorf("%s gives the warnings %q and the mistakes %q, want none", assignment, cfg.warnings, mistakes)
			}
			want := defaults()
			reflect.ValueOf(want).Elem().FieldByIndex(field.Index).Set(reflect.ValueOf(sample.want))
			if tag == "DATA_DIR" {
				want.CacheDir = filepath.Join(sample.value, "cache")
			}
			want.warnings, want.given = cfg.warnings, cfg.given
			if !reflect.DeepEqual(cfg, want) {
				t.Errorf("%s makes the configuration\n%+v, want\n%+v", assignment, cfg, want)
			}
		}
	}
}

// inFile makes a file with the content, and returns its path.
func inFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSizes(t *testing.T) {
	for value, want := range map[string]byteSize{
		"0": 0, "1": 1, "1000": 1000, "1B": 1, "10KiB": 10 << 10, "10MiB": 10 << 20, "20GiB": 20 << 30, "2TiB": 2 << 40,
		"10KB": 10e3, "10MB": 10e6, "20GB": 20e9, "2TB": 2e12, "1.5GiB": 3 << 29, "10 MiB": 10 << 20, "10mib": 10 << 20,
		"7EiB": 7 << 60, "9223372036854775807": 1<<63 - 1,
	} {
		for _, name := range []string{"BT_DOWN_LIMIT", "BT_UP_LIMIT", "CACHE_LIMIT"} {
			cfg, mistakes := parseConfig([]string{prefix + name + "=" + value})
			got := map[string]byteSize{
				"BT_DOWN_LIMIT": cfg.BTDownLimit, "BT_UP_LIMIT": cfg.BTUpLimit, "CACHE_LIMIT": cfg.CacheLimit,
			}[name]
			if got != want || len(mistakes) > 0 {
				t.Errorf("%s=%s is %d with the mistakes %q, want %d with none", name, value, got, mistakes, want)
			}
		}
	}
}

func TestDurations(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"1ns": 1, "500ms": 500 * time.Millisecond, "50s": 50 * time.Second, "5m": 5 * time.Minute,
		"1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute,
	} {
		cfg, mistakes := parseConfig([]string{
			prefix + "NFS_READ_WAIT=" + value, prefix + "READ_GIVE_UP=" + value, prefix + "BT_IDLE=" + value,
		})
		got := []time.Duration{cfg.NFSReadWait, cfg.ReadGiveUp, cfg.BTIdle}
		if !slices.Equal(got, []time.Duration{want, want, want}) || len(mistakes) > 0 {
			t.Errorf("%s is %v with the mistakes %q, want %v three times with none", value, got, mistakes, want)
		}
	}
}

func TestBooleans(t *testing.T) {
	for value, want := range map[string]bool{"true": true, "false": false, "1": true, "0": false, "TRUE": true} {
		cfg, mistakes := parseConfig([]string{prefix + "BT_UPNP=" + value})
		if cfg.BTUPnP != want || len(mistakes) > 0 {
			t.Errorf("%q is %t with the mistakes %q, want %t with none", value, cfg.BTUPnP, mistakes, want)
		}
	}
}

// badValues are values that the variables cannot have.
var badValues = map[string][]string{
	"NFS_ADDR":       {"2049", "host", ":x", ":65536", ":-1", "1.2.3.4", "::1", ":nfs", "a:b:c"},
	"HTTP_ADDR":      {"4444", "http://:4444", ":http"},
	"BT_ADDR":        {"42069", ":"},
	"BT_PEERS":       {"192.0.2.1", "192.0.2.1:1,nas", "192.0.2.1:99999"},
	"NFS_ALLOW":      {"192.168.1.1", "192.168.0.0/33", "lan", "10.0.0.0/8,x", "10.0.0.0/8;11.0.0.0/8"},
	"NFS_READ_WAIT":  {"50", "fast", "0", "0s", "-1s", "1d"},
	"READ_GIVE_UP":   {"300", "never", "-1s"},
	"BT_IDLE":        {"10", "0", "-5m"},
	"HTTP_BASE_PATH": {"shoal", "//", "/../x", "/a b", "/{a", "/a?b", "/a//b", "http://nas/shoal"},
	"ALLOWED_HOSTS":  {"http://nas.example.org", "nas.example.org:4444", "*", "nas.*", "a b", "*.", "[::1]", ".example.org", "nas/shoal"},
	"ADMIN_USER":     {"a\tb", "\u202eadmin", strings.Repeat("n", 61)},
	"ADMIN_PASSWORD": {strings.Repeat("p", 1025)},
	"API_TOKEN":      {strings.Repeat("t", 1025)},
	"ROUTES":         {"a/b", "..", ".", `a\b`, strings.Repeat("n", 256)},
	"WATCH_DIR":      {"/dev/null", "/", ".", "./data", "data/../data/"},
	"ARCHIVES":       {"on", "Folder", "true"},
	"CACHE_LIMIT":    {"-1", "x", "10XB", "GiB", "10EiB", "99999999999GiB", "1e3x"},
	"BT_DOWN_LIMIT":  {"-1", "10M/s", "fast"},
	"BT_UP_LIMIT":    {"none", "1.2.3"},
	"BT_DHT":         {"yes", "on", "2"},
	"BT_UPNP":        {"maybe"},
	"BT_MAX_PEERS":   {"0", "-1", "many", "1.5", "1e3", "99999999999999999999"},
	"BT_INTERFACE":   {"wg0/1", "a name", "sixteen-letters-", ".."},
	"BT_PROXY":       {"127.0.0.1:1080", "socks4://a:1", "socks5://a", "http://a:0", "http://a:x", "https://a:1", "http://:1", "socks5://a:1/b", "socks5://user:secret@a"},
	"BT_ENCRYPTION":  {"off", "Require", "true"},
	"BT_ANNOUNCE_IP": {"nas", "192.0.2.1,192.0.2.2", "0.0.0.0", "192.0.2.1/32", "127.0.0.1", "::ffff:192.0.2.1", "fe80::1%eth0", "239.0.0.1"},
	"LOG_LEVEL":      {"verbose", "7"},

	"ARCHIVE_CHARSET":     {"Auto", "klingon", "UTF-16LE", "IBM037", "Shift_JIS,GBK"},
	"ARCHIVE_DEPTH":       {"0", "5", "-1", "two"},
	"ARCHIVE_MEMORY":      {"0", "15MiB", "x"},
	"BT_EXTRA_TRACKERS":   {"x", "ws://t.example/", "udp://t.example", "udp://t.example:80,http://user@t.example/"},
	"BT_BLOCKLIST":        {"ftp://t.example/list", "http://", "http:///list"},
	"TRUSTED_PROXIES":     {"172.18.0.2", "172.18.0.0/16,proxy", "true"},
	"FETCH_ALLOW_PRIVATE": {"maybe"},
	"LOG_FORMAT":          {"xml", "JSON"},
	"PUID":                {"-1", "media", "1000:1000", "0x10", "2147483648", "99999999999999999999", "1 000"},
	"PGID":                {"-1", "users"},
	"UMASK":               {"u=rwx", "8", "1777", "-22", "0o22", "777", "100"},
	"TZ":                  {"Berlin", "Europe/Nowhere", "../etc/passwd", "CEST"},
}

func TestMistakes(t *testing.T) {
	for name, values := range badValues {
		for _, value := range values {
			_, mistakes := parseConfig([]string{prefix + name + "=" + value})
			checkLines(t, mistakes)
			if len(mistakes) != 1 || !strings.HasPrefix(mistakes[0], prefix+name+": ") {
				t.Errorf("%s=%.80s gives the mistakes %.300q, want one of %s", name, value, mistakes, prefix+name)
			}
		}
	}
	// Peers need one of the two.
	_, mistakes := parseConfig([]string{"SHOAL_BT_TCP=false", "SHOAL_BT_UTP=false"})
	checkLines(t, mistakes)
	if len(mistakes) != 1 || !strings.Contains(mistakes[0], "SHOAL_BT_TCP") || !strings.Contains(mistakes[0], "SHOAL_BT_UTP") {
		t.Errorf("without TCP and uTP the mistakes are %q, want one that names both", mistakes)
	}
}

var mistakeLine = regexp.MustCompile(`^SHOAL_[A-Z0-9_]+: [^\r\n]+$`)

// checkLines checks that mistakes are a line each, with the name of the variable first.
func checkLines(t *testing.T, mistakes []string) {
	t.Helper()
	for _, m := range mistakes {
		if !mistakeLine.MatchString(m) {
			t.Errorf("the mistake %q is not one line that begins with the variable", m)
		}
	}
}

// TestMistakesAreLines: a value of several lines, such as a file's, must not make several mistakes of
// one.
func TestMistakesAreLines(t *testing.T) {
	for field := range fields() {
		for _, value := range []string{"a\nb", "SHOAL_X: \n", "1\r\n2", "\x1b[31m"} {
			_, mistakes := parseConfig([]string{prefix + field.Tag.Get("env") + "=" + value})
			checkLines(t, mistakes)
		}
	}
}

// TestAllMistakesAtOnce: nobody has to start it ten times to find ten mistakes, of whatever kind
// they are.
func TestAllMistakesAtOnce(t *testing.T) {
	environ := []string{
		"SHOAL_DATA_DIR=data", "SHOAL_DATA_DIR_FILE=" + inFile(t, "other"),
		"SHOAL_CACHE_DIR_FILE=/nonexistent/file",
	}
	want := []string{"SHOAL_DATA_DIR", "SHOAL_CACHE_DIR_FILE"}
	for name, values := range badValues {
		environ = append(environ, prefix+name+"="+values[0])
		want = append(want, prefix+name)
	}
	_, mistakes := parseConfig(environ)
	checkLines(t, mistakes)
	var got []string
	for _, m := range mistakes {
		name, _, _ := strings.Cut(m, ":")
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the mistakes are of %q, want them of %q", got, want)
	}
}

func TestFiles(t *testing.T) {
	for content, want := range map[string]string{
		"secret":          "secret",
		"secret\n":        "secret",
		"secret\r\n":      "secret",
		"secret\n\n":      "secret",
		" two words \n":   " two words ",
		"line\nline\n":    "line\nline",
		"":                "",
		"\n":              "",
		"/etc/passwd":     "/etc/passwd", // not read again
		"$HOME=${PATH}\n": "$HOME=${PATH}",
	} {
		cfg, mistakes := parseConfig([]string{"SHOAL_API_TOKEN_FILE=" + inFile(t, content)})
		if cfg.APIToken != want || len(mistakes) > 0 || len(cfg.warnings) > 0 {
			t.Errorf("a file with %q gives %q, the mistakes %q and the warnings %q, want %q and none",
				content, cfg.APIToken, mistakes, cfg.warnings, want)
		}
	}
}

func TestFileMistakes(t *testing.T) {
	good := inFile(t, "the-other-secret")
	for _, test := range []struct {
		environ []string
		want    string // beginning of the one mistake
	}{
		{[]string{"SHOAL_API_TOKEN=the-secret", "SHOAL_API_TOKEN_FILE=" + good}, "SHOAL_API_TOKEN: "},
		{[]string{"SHOAL_API_TOKEN=the-secret", "SHOAL_API_TOKEN_FILE=/nonexistent/file"}, "SHOAL_API_TOKEN: "},
		{[]string{"SHOAL_API_TOKEN_FILE=/nonexistent/file"}, "SHOAL_API_TOKEN_FILE: "},
		{[]string{"SHOAL_API_TOKEN_FILE=" + t.TempDir()}, "SHOAL_API_TOKEN_FILE: "},
		{[]string{"SHOAL_API_TOKEN_FILE=" + inFile(t, strings.Repeat("x", maxVariableFile+1))}, "SHOAL_API_TOKEN_FILE: "},
		{[]string{"SHOAL_API_TOKEN_FILE=/dev/zero"}, "SHOAL_API_TOKEN_FILE: "},
		{[]string{"SHOAL_BT_MAX_PEERS_FILE=" + inFile(t, "many\n")}, "SHOAL_BT_MAX_PEERS: "},
		{[]string{"SHOAL_LOG_FORMAT_FILE=" + inFile(t, "xml")}, "SHOAL_LOG_FORMAT: "},
		{[]string{"SHOAL_BT_PROXY_FILE=" + inFile(t, "socks5://me:the-secret@127.0.0.1")}, "SHOAL_BT_PROXY: "},
		{[]string{"SHOAL_BT_PROXY=socks5://127.0.0.1:1080", "SHOAL_BT_TCP=false"}, "SHOAL_BT_PROXY: "},
	} {
		_, mistakes := parseConfig(test.environ)
		checkLines(t, mistakes)
		if len(mistakes) != 1 || !strings.HasPrefix(mistakes[0], test.want) {
			t.Errorf("%.80q gives the mistakes %.300q, want one that begins with %q", test.environ, mistakes, test.want)
		}
		if all := fmt.Sprint(mistakes); strings.Contains(all, "secret") {
			t.Errorf("%.80q gives the mistakes %.300q, want no secret in them", test.environ, mistakes)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	cfg, mistakes := parseConfig([]string{
		"SHOAL_NFS_ADRR=the-value", "SHOAL_=the-value", "SHOAL_NFS_ADDR_FILE_FILE=the-value", "SHOAL_PORT=tcp://the-value",
		"SHOAL_X_FILE=/nonexistent", "SHOAL_0_X=the-value", "SHOAL_nfs_addr=the-value", "OTHER=x",
	})
	if len(mistakes) > 0 {
		t.Errorf("unknown variables give the mistakes %q, want none", mistakes)
	}
	var got []string
	for _, w := range cfg.warnings {
		name, _, _ := strings.Cut(w, " ")
		got = append(got, name)
		if strings.Contains(w, "the-value") {
			t.Errorf("the warning %q tells a value, which may be a secret", w)
		}
	}
	want := []string{
		"SHOAL_", "SHOAL_0_X", "SHOAL_NFS_ADDR_FILE_FILE", "SHOAL_NFS_ADRR", "SHOAL_PORT", "SHOAL_X_FILE", "SHOAL_nfs_addr",
	}
	if !slices.Equal(got, want) {
		t.Errorf("unknown variables give warnings of %q, want them of %q", got, want)
	}
	cfg.warnings, cfg.given = nil, nil
	if want := defaults(); !reflect.DeepEqual(cfg, want) {
		t.Errorf("unknown variables make the configuration\n%+v, want\n%+v", cfg, want)
	}
}

func TestCacheDir(t *testing.T) {
	for _, test := range []struct{ data, cache, want string }{
		{"", "", "data/cache"},
		{"/srv/data", "", "/srv/data/cache"},
		{"/srv/data/", "", "/srv/data/cache"},
		{"/srv/data", "/ssd", "/ssd"},
		{"", "cache", "cache"},
	} {
		cfg, mistakes := parseConfig([]string{"SHOAL_DATA_DIR=" + test.data, "SHOAL_CACHE_DIR=" + test.cache})
		if cfg.CacheDir != test.want || len(mistakes) > 0 {
			t.Errorf("DATA_DIR=%s CACHE_DIR=%s gives the cache %q with the mistakes %q, want %q",
				test.data, test.cache, cfg.CacheDir, mistakes, test.want)
		}
	}
}

func TestRunWithBadConfiguration(t *testing.T) {
	environ := []string{"SHOAL_BT_DHT=maybe", "SHOAL_BT_INTERFACE=tun/0", "SHOAL_DATA_DIR=" + t.TempDir()}
	for _, args := range [][]string{nil, {"serve"}, {"healthcheck"}} {
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), args, environ, &stdout, &stderr); got != 2 {
			t.Errorf("run %q with a bad configuration returns %d, want 2", args, got)
		}
		if stdout.Len() > 0 {
			t.Errorf("run %q with a bad configuration prints %q to stdout, want nothing", args, &stdout)
		}
		lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
		checkLines(t, lines)
		if len(lines) != 2 {
			t.Errorf("run %q with two mistakes prints %q, want a line for each", args, lines)
		}
	}
}

func TestRunUnknownCommand(t *testing.T) {
	for _, args := range [][]string{
		{"start"}, {""}, {"-h"}, {"--help"}, {"Serve"}, {"serve", "now"}, {"version", "-v"}, {"\x1b[31m"},
	} {
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), args, nil, &stdout, &stderr); got != 2 {
			t.Errorf("run %q returns %d, want 2", args, got)
		}
		if stdout.Len() > 0 || !strings.Contains(stderr.String(), "serve|healthcheck|version") {
			t.Errorf("run %q prints %q and to stderr %q, want the commands there", args, &stdout, &stderr)
		}
		if strings.ContainsRune(stderr.String(), '\x1b') {
			t.Errorf("run %q prints %q, want nothing that a terminal obeys", args, &stderr)
		}
	}
}

// TestRunVersion: it works whatever the configuration is.
func TestRunVersion(t *testing.T) {
	for _, environ := range [][]string{nil, {"SHOAL_BT_DHT=maybe"}} {
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), []string{"version"}, environ, &stdout, &stderr); got != 0 {
			t.Errorf("run version returns %d, want 0", got)
		}
		if got := stdout.String(); !regexp.MustCompile(`^shoal [^\n]+\n$`).MatchString(got) || stderr.Len() > 0 {
			t.Errorf("run version prints %q and to stderr %q, want a line and nothing", got, &stderr)
		}
	}
}

func TestRunHealthcheckOfNothing(t *testing.T) {
	// A port that was free a moment ago.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	environ := []string{"SHOAL_HTTP_ADDR=" + addr, "SHOAL_NFS_ADDR=" + addr}
	if got := run(t.Context(), []string{"healthcheck"}, environ, &stdout, &stderr); got != 1 {
		t.Errorf("run healthcheck of nothing returns %d, want 1", got)
	}
	if stderr.Len() == 0 {
		t.Error("run healthcheck of nothing prints nothing, want why it failed")
	}
}

func TestTrimList(t *testing.T) {
	for list, want := range map[string]string{
		"": "", "a": "a", " a , b c ,,": "a,b c", ",": "", "10.0.0.0/8, 192.168.0.0/16": "10.0.0.0/8,192.168.0.0/16",
	} {
		if got := trimList(list); got != want {
			t.Errorf("trimList(%q) = %q, want %q", list, got, want)
		}
	}
}

func TestPortmapAddr(t *testing.T) {
	for value, want := range map[string]int{"off": 0, ":111": 0, "127.0.0.1:1111": 0, "111": 1, "none": 1, ":x": 1} {
		if _, mistakes := parseConfig([]string{"SHOAL_PORTMAP_ADDR=" + value}); len(mistakes) != want {
			t.Errorf("%q: %q, want %d mistakes", value, mistakes, want)
		}
	}
}
