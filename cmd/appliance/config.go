package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"shoal/admin/access"
	"shoal/admin/guard"
	"shoal/archive"
	"shoal/archive/names"
	"shoal/torrents"
)

// off turns off what has an address.
const off = "off"

// auto leaves a choice to us.
const auto = "auto"

// prefix begins the name of every variable.
const prefix = "SHOAL_"

// Config is all that can be set, each field by the variable in its tag `env` with SHOAL_ in front,
// or by the content of the file that the same variable with _FILE behind, or FILE__ in front, names. The README has a
// table of it, which a test compares with this.
//
// The tag `plain` is a name that counts when the variable is not set: that of other images. The tag `group` begins a group of fields on the
// page of settings, and `secret` keeps values from it: "all" of them, or what URLs have in them beside the server ("url").
type Config struct {
	DataDir    string   `env:"DATA_DIR" envDefault:"./data" group:"storage"`
	CacheDir   string   `env:"CACHE_DIR"` // $DATA_DIR/cache if empty
	CacheLimit byteSize `env:"CACHE_LIMIT" envDefault:"20GiB"`

	NFSAddr     string         `env:"NFS_ADDR" envDefault:":2049" group:"nfs"`
	PortmapAddr string         `env:"PORTMAP_ADDR" envDefault:":111"`
	NFSAllow    []netip.Prefix `env:"NFS_ALLOW" envDefault:"127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,fc00::/7,fe80::/10"`
	NFSReadWait time.Duration  `env:"NFS_READ_WAIT" envDefault:"50s"`
	ReadGiveUp  time.Duration  `env:"READ_GIVE_UP" envDefault:"5m"`
	MDNS        string         `env:"MDNS" envDefault:"auto"`

	HTTPAddr       string         `env:"HTTP_ADDR" envDefault:":4444" group:"site"`
	HTTPBasePath   string         `env:"HTTP_BASE_PATH" envDefault:"/"`
	AllowedHosts   []string       `env:"ALLOWED_HOSTS"`
	TrustedProxies []netip.Prefix `env:"TRUSTED_PROXIES"`
	AdminUser      string         `env:"ADMIN_USER" envDefault:"admin"`
	AdminPassword  string         `env:"ADMIN_PASSWORD" secret:"all"`
	APIToken       string         `env:"API_TOKEN" secret:"all"`

	Routes   []string          `env:"ROUTES" group:"content"`
	WatchDir string            `env:"WATCH_DIR"`
	Archives torrents.Archives `env:"ARCHIVES" envDefault:"folder"`

	ArchiveCharset string   `env:"ARCHIVE_CHARSET" envDefault:"auto"`
	ArchiveDepth   int      `env:"ARCHIVE_DEPTH" envDefault:"2"`
	ArchiveMemory  byteSize `env:"ARCHIVE_MEMORY" envDefault:"64MiB"`

	BTAddr          string              `env:"BT_ADDR" envDefault:":42069" group:"swarm"`
	BTDHT           bool                `env:"BT_DHT" envDefault:"true"`
	BTPEX           bool                `env:"BT_PEX" envDefault:"true"`
	BTLSD           bool                `env:"BT_LSD" envDefault:"true"`
	BTUTP           bool                `env:"BT_UTP" envDefault:"true"`
	BTTCP           bool                `env:"BT_TCP" envDefault:"true"`
	BTIPv6          bool                `env:"BT_IPV6" envDefault:"true"`
	BTUPnP          bool                `env:"BT_UPNP" envDefault:"false"`
	BTDownLimit     byteSize            `env:"BT_DOWN_LIMIT" envDefault:"0"`
	BTUpLimit       byteSize            `env:"BT_UP_LIMIT" envDefault:"0"`
	BTSeed          bool                `env:"BT_SEED" envDefault:"true"`
	BTMaxPeers      int                 `env:"BT_MAX_PEERS" envDefault:"50"`
	BTIdle          time.Duration       `env:"BT_IDLE" envDefault:"10m"`
	BTPeers         []string            `env:"BT_PEERS"`
	BTAnnounceIP    []string            `env:"BT_ANNOUNCE_IP"`
	BTInterface     string              `env:"BT_INTERFACE"`
	BTProxy         string              `env:"BT_PROXY" secret:"url"`
	BTBlocklist     string              `env:"BT_BLOCKLIST" secret:"url"`
	BTExtraTrackers []string            `env:"BT_EXTRA_TRACKERS" secret:"url"`
	BTEncryption    torrents.Encryption `env:"BT_ENCRYPTION" envDefault:"allow"`

	FetchAllowPrivate bool `env:"FETCH_ALLOW_PRIVATE" envDefault:"false"`

	MetricsPerTorrent bool `env:"METRICS_PER_TORRENT" envDefault:"false" group:"process"`

	LogLevel  slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat string     `env:"LOG_FORMAT" envDefault:"text"`

	PUID  string `env:"PUID" plain:"PUID"`
	PGID  string `env:"PGID" plain:"PGID"`
	Umask string `env:"UMASK" plain:"UMASK"`
	TZ    string `env:"TZ"` // the plain one is Go's

	// warnings are about variables that were accepted, for the log.
	warnings []string

	// given is what the variables say that are set, by the name without SHOAL_.
	given map[string]given

	// notifySocket is where systemd wants to be told when this serves, if it does.
	notifySocket string
}

// given is the value of a variable as it was written.
type given struct {
	text string
	name string // of the variable, which may be a plain one
	file bool   // it came from the file that a variable names
}

// parseConfig reads the environment. The mistakes are one line each, which begins with the name of
// the variable.
func parseConfig(environ []string) (*Config, []string) {
	cfg := &Config{}
	vars, mistakes := cfg.variables(environ)
	err := env.ParseWithOptions(cfg, env.Options{Prefix: prefix, Environment: vars})
	if all, ok := errors.AsType[env.AggregateError](err); ok {
		for _, err := range all.Errors {
			mistakes = append(mistakes, parseMistake(err, vars))
		}
	} else if err != nil {
		mistakes = append(mistakes, err.Error())
	}
	// What parses is checked all the same, so that all mistakes are told at once. What does not has no
	// value to check.
	broken := mistakes
	for _, m := range cfg.check() {
		name, _, _ := strings.Cut(m, ":")
		if !slices.ContainsFunc(broken, func(b string) bool {
			return strings.HasPrefix(b, name+":") || strings.HasPrefix(b, name+fileSuffix+":") || strings.HasPrefix(b, filePrefix+name+":")
		}) {
			mistakes = append(mistakes, m)
		}
	}
	if cfg.CacheDir == "" {
		cfg.CacheDir = filepath.Join(cfg.DataDir, "cache")
	}
	return cfg, mistakes
}

// maxVariableFile bounds what is read for a variable with _FILE.
const maxVariableFile = 1 << 20

// What a variable's name has when its value is in a file: as Docker's own images have it, and as LinuxServer's do.
const (
	fileSuffix = "_FILE"
	filePrefix = "FILE__"
)

// variables picks ours out of the environment, the contents of files in their place.
func (c *Config) variables(environ []string) (map[string]string, []string) {
	vars := env.ToMap(environ)
	c.notifySocket = vars["NOTIFY_SOCKET"]
	var mistakes []string
	known := make(map[string]bool)
	c.given = make(map[string]given)
	for field := range fields() {
		tag := field.Tag.Get("env")
		name := prefix + tag
		known[name], known[name+fileSuffix], known[filePrefix+name] = true, true, true
		value, err := lookUp(vars, name, field.Tag.Get("plain"))
		if err != nil {
			mistakes = append(mistakes, err.Error())
		}
		if field.Type.Kind() == reflect.Slice {
			value.text = trimList(value.text)
		}
		vars[name] = value.text
		if value.text != "" {
			c.given[tag] = value
		}
	}
	for name := range vars {
		if strings.HasPrefix(strings.TrimPrefix(name, filePrefix), prefix) && !known[name] {
			c.warnings = append(c.warnings, name+" is set, and is not a variable of Shoal")
			delete(vars, name) // SHOAL_0_X would make an item of each list of structs
		}
	}
	slices.Sort(c.warnings)
	return vars, mistakes
}

// lookUp returns the value of a variable, by that itself, by a file, or else by its plain name if it has one.
func lookUp(vars map[string]string, name, plain string) (given, error) {
	var set []string
	for _, n := range []string{name, name + fileSuffix, filePrefix + name} {
		if vars[n] != "" {
			set = append(set, n)
		}
	}
	switch {
	case len(set) > 1:
		return given{}, fmt.Errorf("%s: set, and %s too; use one of them", set[0], set[1])
	case len(set) == 0 && plain != "":
		return given{text: vars[plain], name: plain}, nil
	case len(set) == 0 || set[0] == name:
		return given{text: vars[name], name: name}, nil
	}
	text, err := readVariable(vars[set[0]])
	if err != nil {
		return given{}, fmt.Errorf("%s: %w", set[0], err)
	}
	return given{text: text, name: name, file: true}, nil
}

// name is that of the variable as it was written, which may be the plain one.
func (c *Config) name(tag string) string {
	if given, ok := c.given[tag]; ok {
		return given.name
	}
	return prefix + tag
}

// trimList takes away the spaces around the items of a list, and items that are nothing else.
func trimList(list string) string {
	items := strings.Split(list, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return strings.Join(slices.DeleteFunc(items, func(item string) bool { return item == "" }), ",")
}

// fields yields the fields of Config that have a variable.
func fields() func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for field := range reflect.TypeFor[Config]().Fields() {
			if field.Tag.Get("env") != "" && !yield(field) {
				return
			}
		}
	}
}

func readVariable(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxVariableFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxVariableFile {
		return "", fmt.Errorf("%s is larger than %d bytes", name, maxVariableFile)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// parseMistake says what is wrong with a value that does not parse.
func parseMistake(err error, vars map[string]string) string {
	var parse env.ParseError
	if !errors.As(err, &parse) {
		return err.Error()
	}
	field, _ := reflect.TypeFor[Config]().FieldByName(parse.Name)
	name := prefix + field.Tag.Get("env")
	want := parse.Err.Error()
	switch field.Type {
	case reflect.TypeFor[bool]():
		want = "has to be true or false"
	case reflect.TypeFor[int]():
		want = "has to be a whole number"
	case reflect.TypeFor[time.Duration]():
		want = "has to be a duration, such as 50s or 5m"
	case reflect.TypeFor[byteSize]():
		want = "has to be a size, such as 512MiB or 20GB"
	case reflect.TypeFor[[]netip.Prefix]():
		want = "has to be networks, such as 192.168.0.0/16,fd00::/8"
	case reflect.TypeFor[slog.Level]():
		want = "has to be debug, info, warn or error"
	case reflect.TypeFor[torrents.Archives]():
		want = "has to be folder, both or off"
	case reflect.TypeFor[torrents.Encryption]():
		want = "has to be allow, prefer or require"
	}
	return fmt.Sprintf("%s: %q %s", name, vars[name], want)
}

// check says what is wrong with values that parse.
func (c *Config) check() []string {
	var mistakes []string
	mistake := func(name, format string, args ...any) {
		mistakes = append(mistakes, c.name(name)+": "+fmt.Sprintf(format, args...))
	}
	c.checkSite(mistake)
	c.checkSwarm(mistake)
	c.checkIdentity(mistake)
	c.checkMDNS(mistake)
	for name, addr := range map[string]string{"NFS_ADDR": c.NFSAddr, "HTTP_ADDR": c.HTTPAddr, "BT_ADDR": c.BTAddr} {
		if err := checkAddr(addr); err != nil {
			mistake(name, "%q has to be host:port or :port: %v", addr, err)
		}
	}
	if err := checkAddr(c.PortmapAddr); err != nil && c.PortmapAddr != off {
		mistake("PORTMAP_ADDR", "%q has to be host:port, :port or off: %v", c.PortmapAddr, err)
	}
	for name, d := range map[string]time.Duration{"NFS_READ_WAIT": c.NFSReadWait, "BT_IDLE": c.BTIdle} {
		if d <= 0 {
			mistake(name, "%v has to be more than 0", d)
		}
	}
	if c.ReadGiveUp < 0 {
		mistake("READ_GIVE_UP", "%v has to be 0 (never) or more", c.ReadGiveUp)
	}
	for _, name := range c.Routes {
		if err := torrents.CheckRouteName(name); err != nil {
			mistake("ROUTES", "%v", err)
		}
	}
	if c.ArchiveCharset != auto {
		if err := names.CheckCharset(c.ArchiveCharset); err != nil {
			mistake("ARCHIVE_CHARSET", "%v", err)
		}
	}
	if c.ArchiveDepth < 1 || c.ArchiveDepth > archive.MaxDepth {
		mistake("ARCHIVE_DEPTH", "%d has to be 1 to %d", c.ArchiveDepth, archive.MaxDepth)
	}
	if c.ArchiveMemory < minArchiveMemory {
		mistake("ARCHIVE_MEMORY", "%d bytes are too few, it has to be 16MiB or more", c.ArchiveMemory)
	}
	if err := c.checkWatchDir(); err != nil {
		mistake("WATCH_DIR", "%v", err)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		mistake("LOG_FORMAT", "%q has to be text or json", c.LogFormat)
	}
	slices.Sort(mistakes)
	return mistakes
}

// checkSite says what is wrong with the settings of the admin site.
func (c *Config) checkSite(mistake func(name, format string, args ...any)) {
	if base := strings.TrimSuffix(c.HTTPBasePath, "/"); !strings.HasPrefix(c.HTTPBasePath, "/") ||
		base != strings.TrimSuffix(path.Clean(c.HTTPBasePath), "/") || strings.ContainsAny(base, "{}?#% ") {
		mistake("HTTP_BASE_PATH", "%q has to be a path, such as / or /shoal", c.HTTPBasePath)
	}
	for _, host := range c.AllowedHosts {
		if err := guard.CheckHost(host); err != nil {
			mistake("ALLOWED_HOSTS", "%.260q %v", host, err)
		}
	}
	if err := access.CheckUser(c.AdminUser); err != nil {
		mistake("ADMIN_USER", "%v", err)
	}
	for name, secret := range map[string]string{"ADMIN_PASSWORD": c.AdminPassword, "API_TOKEN": c.APIToken} {
		if err := access.CheckSecret(secret); err != nil {
			mistake(name, "%v", err)
		}
	}
}

// checkSwarm says what is wrong with the settings of BitTorrent, but for those that others have, too.
func (c *Config) checkSwarm(mistake func(name, format string, args ...any)) {
	for _, peer := range c.BTPeers {
		if err := checkAddr(peer); err != nil {
			mistake("BT_PEERS", "%q has to be host:port: %v", peer, err)
		}
	}
	if err := torrents.CheckBlocklist(c.BTBlocklist); err != nil {
		mistake("BT_BLOCKLIST", "%v", err)
	}
	for _, tracker := range c.BTExtraTrackers {
		if err := torrents.CheckTracker(tracker); err != nil {
			mistake("BT_EXTRA_TRACKERS", "%q: %v", tracker, err)
		}
	}
	if name := c.BTInterface; len(name) > maxInterface || strings.ContainsAny(name, "/: \t\r\n\x1b") || name == "." || name == ".." {
		mistake("BT_INTERFACE", "%.40q has to be the name of an interface, such as wg0", name)
	}
	if c.BTProxy != "" {
		if err := torrents.CheckProxy(c.BTProxy); err != nil {
			mistake("BT_PROXY", "%v", err)
		} else if !c.BTTCP {
			mistake("BT_PROXY", "peers are reached over TCP through it, and %sBT_TCP is false", prefix)
		}
	}
	if _, err := parseAnnounceIPs(c.BTAnnounceIP); err != nil {
		mistake("BT_ANNOUNCE_IP", "%v", err)
	}
	if !c.BTTCP && !c.BTUTP {
		mistake("BT_TCP", "false, and so is %sBT_UTP; peers need one of them", prefix)
	}
	if c.BTMaxPeers < 1 {
		mistake("BT_MAX_PEERS", "%d has to be 1 or more", c.BTMaxPeers)
	}
}

// checkWatchDir says why the watch folder cannot be one. It need not be there yet.
func (c *Config) checkWatchDir() error {
	if c.WatchDir == "" {
		return nil
	}
	if st, err := os.Stat(c.WatchDir); err == nil && !st.IsDir() {
		return fmt.Errorf("%q is not a folder", c.WatchDir)
	}
	for name, dir := range map[string]string{"DATA_DIR": c.DataDir, "CACHE_DIR": c.CacheDir} {
		if dir == "" {
			continue // CACHE_DIR is in DATA_DIR then
		}
		watch, err := filepath.Abs(c.WatchDir)
		if err == nil {
			dir, err = filepath.Abs(dir)
		}
		if err == nil && below(watch, dir) {
			return fmt.Errorf("%q has %s%s in it, which would become a route; use a folder of its own", c.WatchDir, prefix, name)
		}
	}
	return nil
}

func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if reason, ok := errors.AsType[*net.AddrError](err); ok {
		return errors.New(reason.Err) // without the address, which may be several lines
	}
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is not a port", port)
	}
	return nil
}

// minArchiveMemory is room for two of the longest segments, of 8 MiB each: less would keep nothing for the next read.
const minArchiveMemory = 16 << 20

// maxInterface is the longest name of an interface that Linux has.
const maxInterface = 15
