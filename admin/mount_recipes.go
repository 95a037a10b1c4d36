package admin

import (
	"fmt"
	"strings"

	"shoal/admin/locale"
)

// mountTarget is what a client mounts.
type mountTarget struct {
	host string // a name or an IP address, without brackets
	port int    // of NFS and MOUNT
	path string // "/", or that of a route
	// plain says that clients find the port themselves: there is a portmapper, and the port is that of NFS.
	plain bool
}

// recipe is how one kind of client mounts. Its texts are "recipes.KEY", what it needs and what does not work there
// "recipes.KEY_needs".
type recipe struct {
	Key      string
	Commands []command
	// Blocked says that this kind of client cannot be told a port, and finds none.
	Blocked bool
	// Unspeakable says that it cannot write the route's name.
	Unspeakable bool
	Open        bool // likely the one that the person looks for
}

// command is something to copy. Its label is "recipes.LABEL".
type command struct{ ID, Label, Text string }

// mountPoint is where commands mount.
const mountPoint = "/mnt/shoal"

// noWindows are characters that names have nowhere on Windows, and % that its shell takes for a variable.
const noWindows = `"*:<>?|%`

// recipes are all of them. likely is the key of the one that is open.
func (t mountTarget) recipes(likely string) []recipe {
	list := []recipe{
		t.linux(), t.fstab(), t.macOS(), t.windows(), t.kodi(), t.docker(), t.compose(), t.kubernetes(), t.synology(), t.trueNAS(),
	}
	for i := range list {
		list[i].Open = list[i].Key == likely
		// A command must not look like another than the one that is copied.
		if strings.ContainsFunc(t.path, locale.Turns) {
			list[i].Unspeakable, list[i].Commands = true, nil
		}
		for j := range list[i].Commands {
			c := &list[i].Commands[j]
			c.ID = fmt.Sprintf("%s-%s", list[i].Key, c.Label)
		}
	}
	return list
}

// source is what Linux and macOS mount: host and path.
func (t mountTarget) source() string { return bracketed(t.host) + ":" + t.path }

// options are those of mount, where the client does not find the port itself.
func (t mountTarget) options() string {
	if t.plain {
		return ""
	}
	return fmt.Sprintf("nfsvers=3,tcp,nolock,port=%[1]d,mountport=%[1]d,", t.port)
}

// kernelOptions are those of Linux's mount(2), which asks no portmapper and resolves no name.
func (t mountTarget) kernelOptions() []string {
	return []string{
		"nfsvers=3", "proto=tcp", fmt.Sprintf("port=%d", t.port), fmt.Sprintf("mountport=%d", t.port), "mountproto=tcp", "nolock", "ro", "hard",
	}
}

// mount is the command of Linux. That reads wait for Shoal however long it takes (hard) is what mount does unless told otherwise.
func (t mountTarget) mount(dir string) string {
	if t.plain {
		return fmt.Sprintf("mount -t nfs %s %s", shellQuoted(t.source()), dir)
	}
	return fmt.Sprintf("mount -t nfs -o %sro,hard %s %s", t.options(), shellQuoted(t.source()), dir)
}

func (t mountTarget) linux() recipe {
	return recipe{Key: "linux", Commands: []command{
		{Label: "folder", Text: "mkdir -p " + mountPoint},
		{Label: "mount", Text: t.mount(mountPoint)},
	}}
}

func (t mountTarget) fstab() recipe {
	return recipe{Key: "fstab", Commands: []command{
		{Label: "line", Text: fmt.Sprintf("%s %s nfs %sro,hard,_netdev,nofail 0 0", fstabField(t.source()), mountPoint, t.options())},
		{Label: "mount", Text: fmt.Sprintf("mkdir -p %[1]s && mount %[1]s", mountPoint)},
	}}
}

func (t mountTarget) macOS() recipe {
	options := "vers=3,tcp,"
	if !t.plain {
		options += fmt.Sprintf("port=%[1]d,mountport=%[1]d,", t.port)
	}
	r := recipe{Key: "macos", Commands: []command{
		{Label: "folder", Text: "mkdir -p ~/shoal"},
		{Label: "mount", Text: fmt.Sprintf("sudo mount -t nfs -o %sresvport,nolocks,ro,hard %s ~/shoal", options, shellQuoted(t.source()))},
	}}
	if t.plain {
		r.Commands = append(r.Commands, command{Label: "finder", Text: nfsURL(t.host, t.path)})
	}
	return r
}

func (t mountTarget) windows() recipe {
	share := strings.TrimPrefix(t.path, "/")
	unspeakable := strings.ContainsAny(share, noWindows)
	if share == "" {
		share = "!" // is how Windows writes the root
	}
	return recipe{Key: "windows", Blocked: !t.plain, Unspeakable: unspeakable, Commands: []command{
		{Label: "feature", Text: "dism /online /enable-feature /all /featurename:ServicesForNFS-ClientOnly /featurename:ClientForNFS-Infrastructure"},
		{Label: "mount", Text: fmt.Sprintf(`mount -o anon,nolock,mtype=hard "\\%s\%s" Z:`, uncHost(t.host), share)},
	}}
}

func (t mountTarget) kodi() recipe {
	return recipe{Key: "kodi", Blocked: !t.plain, Commands: []command{
		{Label: "server", Text: t.host},
		{Label: "path", Text: t.path},
	}}
}

func (t mountTarget) docker() recipe {
	o := "o=addr=" + t.host + "," + strings.Join(t.kernelOptions(), ",")
	return recipe{Key: "docker", Commands: []command{
		{Label: "volume", Text: fmt.Sprintf("docker volume create --driver local --opt type=nfs --opt %s --opt %s shoal",
			shellQuoted(o), shellQuoted("device=:"+t.path))},
		{Label: "try", Text: "docker run --rm -v shoal:/media:ro alpine ls /media"},
	}}
}

func (t mountTarget) compose() recipe {
	return recipe{Key: "compose", Commands: []command{{Label: "file", Text: fmt.Sprintf(`services:
  player:
    image: jellyfin/jellyfin
    volumes:
      - shoal:/media/shoal:ro
volumes:
  shoal:
    driver: local
    driver_opts:
      type: nfs
      o: %s
      device: %s
`, composeQuoted("addr="+t.host+","+strings.Join(t.kernelOptions(), ",")), composeQuoted(":"+t.path))}}}
}

func (t mountTarget) kubernetes() recipe {
	return recipe{Key: "kubernetes", Commands: []command{{Label: "file", Text: fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata:
  name: shoal
spec:
  capacity:
    storage: 1Ti
  accessModes: [ReadOnlyMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  mountOptions: [%s]
  nfs:
    server: %s
    path: %s
    readOnly: true
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: shoal
spec:
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  volumeName: shoal
  resources:
    requests:
      storage: 1Ti
`, strings.Join(t.kernelOptions(), ", "), yamlQuoted(t.host), yamlQuoted(t.path))}}}
}

func (t mountTarget) synology() recipe {
	r := recipe{Key: "synology"}
	if t.plain {
		r.Commands = append(r.Commands, command{Label: "remote", Text: t.source()})
	}
	const dir = "/volume1/shoal"
	r.Commands = append(r.Commands, command{Label: "script", Text: "mkdir -p " + dir + " && " + t.mount(dir)})
	return r
}

func (t mountTarget) trueNAS() recipe {
	const dir = "/mnt/tank/shoal"
	return recipe{Key: "truenas", Commands: []command{{Label: "script", Text: "mkdir -p " + dir + " && " + t.mount(dir)}}}
}

// likelyRecipe is the key of the one for the machine that a browser runs on.
func likelyRecipe(userAgent string) string {
	switch {
	case strings.Contains(userAgent, "Windows"):
		return "windows"
	case strings.Contains(userAgent, "Macintosh"):
		return "macos"
	default:
		return "linux"
	}
}
