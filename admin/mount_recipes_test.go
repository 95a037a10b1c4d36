package admin

import (
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// commandText is a command of a recipe.
func commandText(t testing.TB, target mountTarget, recipe, label string) string {
	t.Helper()
	for _, r := range target.recipes("") {
		for _, c := range r.Commands {
			if r.Key == recipe && c.Label == label {
				return c.Text
			}
		}
	}
	t.Fatalf("there is no %s of %s", label, recipe)
	return ""
}

func TestRecipes(t *testing.T) {
	films := mountTarget{host: "192.168.1.5", port: 2049, path: "/films", plain: true}
	other := mountTarget{host: "nas.lan", port: 12049, path: "/"}
	six := mountTarget{host: "fd00::5", port: 2049, path: "/films", plain: true}
	for _, test := range []struct {
		target        mountTarget
		recipe, label string
		want          string
	}{
		{films, "linux", "mount", "mount -t nfs 192.168.1.5:/films /mnt/shoal"},
		{other, "linux", "mount", "mount -t nfs -o nfsvers=3,tcp,nolock,port=12049,mountport=12049,ro,hard nas.lan:/ /mnt/shoal"},
		{six, "linux", "mount", "mount -t nfs '[fd00::5]:/films' /mnt/shoal"},
		{films, "fstab", "line", "192.168.1.5:/films /mnt/shoal nfs ro,hard,_netdev,nofail 0 0"},
		{
			other, "fstab", "line",
			"nas.lan:/ /mnt/shoal nfs nfsvers=3,tcp,nolock,port=12049,mountport=12049,ro,hard,_netdev,nofail 0 0",
		},
		{films, "macos", "mount", "sudo mount -t nfs -o vers=3,tcp,resvport,nolocks,ro,hard 192.168.1.5:/films ~/shoal"},
		{
			other, "macos", "mount",
			"sudo mount -t nfs -o vers=3,tcp,port=12049,mountport=12049,resvport,nolocks,ro,hard nas.lan:/ ~/shoal",
		},
		{films, "macos", "finder", "nfs://192.168.1.5/films"},
		{six, "macos", "finder", "nfs://[fd00::5]/films"},
		{films, "windows", "mount", `mount -o anon,nolock,mtype=hard "\\192.168.1.5\films" Z:`},
		{other, "windows", "mount", `mount -o anon,nolock,mtype=hard "\\nas.lan\!" Z:`},
		{six, "windows", "mount", `mount -o anon,nolock,mtype=hard "\\fd00--5.ipv6-literal.net\films" Z:`},
		{films, "kodi", "path", "/films"},
		{six, "kodi", "server", "fd00::5"},
		{
			other, "docker", "volume", "docker volume create --driver local --opt type=nfs --opt " +
				"'o=addr=nas.lan,nfsvers=3,proto=tcp,port=12049,mountport=12049,mountproto=tcp,nolock,ro,hard' --opt 'device=:/' shoal",
		},
		{films, "synology", "remote", "192.168.1.5:/films"},
		{films, "truenas", "script", "mkdir -p /mnt/tank/shoal && mount -t nfs 192.168.1.5:/films /mnt/tank/shoal"},
	} {
		if got := commandText(t, test.target, test.recipe, test.label); got != test.want {
			t.Errorf("%s of %s is\n%s, want\n%s", test.label, test.recipe, got, test.want)
		}
	}
}

// TestBlockedRecipes: who cannot be told a port is told so, and not who can.
func TestBlockedRecipes(t *testing.T) {
	var blocked []string
	for _, r := range (mountTarget{host: "nas", port: 12049, path: "/"}).recipes("") {
		if r.Blocked {
			blocked = append(blocked, r.Key)
		}
	}
	if want := []string{"windows", "kodi"}; !slices.Equal(blocked, want) {
		t.Errorf("without a portmapper %q do not work, want %q", blocked, want)
	}
	for _, r := range (mountTarget{host: "nas", port: 2049, path: `/100%`, plain: true}).recipes("macos") {
		if r.Blocked || r.Unspeakable != (r.Key == "windows") || r.Open != (r.Key == "macos") {
			t.Errorf("with a portmapper, on macOS, with %% in the route, the recipe is %+v", r)
		}
	}
}

// oddPaths are of routes whose names mean something to shells and files.
var oddPaths = []string{
	"/", "/films", "/my films", "/it's", `/a "b" c`, "/$HOME `id` $(id) ${x} $$", "/größe ▶ 映画", "/a,b;c&d|e>f<g*h?i[j]{k}~!#l", "/-o", "/#first",
	"/a: b", "/- a", "/100%20", "/\u200egnp.exe", "/'", "/''", "/end'", "/ x ", "/a=b", "/\u0085\u2028\ufeff\U0001f3ac",
	`/back\slash\040`, "/" + strings.Repeat("ä '\"$", 36),
}

// shellArguments are those with which a line calls one of our commands.
func shellArguments(t testing.TB, line string) []string {
	t.Helper()
	const commands = `show() { printf '%s\0' "$@"; }; mkdir() { :; }; sudo() { "$@"; }; mount() { show "$@"; }; docker() { show "$@"; }; `
	out, err := exec.CommandContext(t.Context(), "sh", "-c", commands+line).Output()
	if err != nil {
		t.Fatalf("the shell cannot run %s: %v", line, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

var octal = regexp.MustCompile(`\\[0-7]{3}`)

// fstabFields reads a line as getmntent(3) does.
func fstabFields(line string) []string {
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
	for i, f := range fields {
		fields[i] = octal.ReplaceAllStringFunc(f, func(s string) string {
			n, _ := strconv.ParseUint(s[1:], 8, 8) // three octal digits
			return string([]byte{byte(n)})
		})
	}
	return fields
}

// TestRecipesOfOddRoutes reads back what recipes have made of names.
func TestRecipesOfOddRoutes(t *testing.T) {
	for _, path := range oddPaths {
		for _, plain := range []bool{true, false} {
			target := mountTarget{host: "fe80::1%eth0", port: 2049, path: path, plain: plain}
			source := "[fe80::1%eth0]:" + path
			for _, c := range [][2]string{{"linux", "mount"}, {"macos", "mount"}, {"synology", "script"}, {"truenas", "script"}} {
				args := shellArguments(t, commandText(t, target, c[0], c[1]))
				if len(args) < 4 || args[len(args)-2] != source {
					t.Errorf("%s calls mount with %q, want the source %q", c[0], args, source)
				}
			}
			args := shellArguments(t, commandText(t, target, "docker", "volume"))
			if len(args) != 11 || args[9] != "device=:"+path || !strings.HasPrefix(args[7], "o=addr=fe80::1%eth0,nfsvers=3,") {
				t.Errorf("docker is called with %q, want the device :%s", args, path)
			}
			if fields := fstabFields(commandText(t, target, "fstab", "line")); len(fields) != 6 || fields[0] != source {
				t.Errorf("the line in fstab is %q, want the source %q", fields, source)
			}
			checkYAML(t, target)
		}
		u, err := url.Parse(nfsURL("fe80::1%eth0", path))
		if err != nil || u.Hostname() != "fe80::1%eth0" || u.Path != path || u.Scheme != "nfs" || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("the URL for %q is read as %+v, %v", path, u, err)
		}
	}
}

// checkYAML reads the files of a target.
func checkYAML(t *testing.T, target mountTarget) {
	t.Helper()
	var compose struct {
		Volumes map[string]struct {
			Options map[string]string `yaml:"driver_opts"`
		}
	}
	if err := yaml.Unmarshal([]byte(commandText(t, target, "compose", "file")), &compose); err != nil {
		t.Fatalf("the file for Compose with %q cannot be read: %v", target.path, err)
	}
	options := compose.Volumes["shoal"].Options
	// Compose takes $$ for a dollar sign, and what follows a single one for a variable.
	if strings.Contains(strings.ReplaceAll(options["device"], "$$", ""), "$") ||
		strings.ReplaceAll(options["device"], "$$", "$") != ":"+target.path || !strings.HasPrefix(options["o"], "addr="+target.host+",") {
		t.Errorf("Compose reads the options %q of %q", options, target.path)
	}
	dec := yaml.NewDecoder(strings.NewReader(commandText(t, target, "kubernetes", "file")))
	var volume, claim struct {
		Kind string
		Spec struct {
			MountOptions []string `yaml:"mountOptions"`
			VolumeName   string   `yaml:"volumeName"`
			NFS          struct{ Server, Path string }
		}
	}
	if err := dec.Decode(&volume); err != nil {
		t.Fatalf("the volume with %q cannot be read: %v", target.path, err)
	}
	if err := dec.Decode(&claim); err != nil {
		t.Fatalf("the claim cannot be read: %v", err)
	}
	if nfs := volume.Spec.NFS; nfs.Server != target.host || nfs.Path != target.path || !slices.Equal(volume.Spec.MountOptions, target.kernelOptions()) {
		t.Errorf("Kubernetes reads %+v of %q", volume, target.path)
	}
	if claim.Kind != "PersistentVolumeClaim" || claim.Spec.VolumeName != "shoal" {
		t.Errorf("the claim is read as %+v", claim)
	}
}

// TestRecipesThatWouldMislead names a route whose commands would be shown in another order than they are copied in.
func TestRecipesThatWouldMislead(t *testing.T) {
	for _, r := range (mountTarget{host: "nas", port: 2049, path: "/\u202egpj.sh", plain: true}).recipes("linux") {
		if !r.Unspeakable || len(r.Commands) > 0 {
			t.Errorf("%s: %+v, want no command", r.Key, r)
		}
	}
	for _, r := range (mountTarget{host: "nas", port: 2049, path: "/שלום", plain: true}).recipes("linux") {
		if r.Unspeakable || len(r.Commands) == 0 {
			t.Errorf("%s: there is no command for a Hebrew name", r.Key)
		}
	}
}
