#!/bin/bash
# build.sh DIR: makes DIR/vmlinuz and DIR/initrd.gz, a Linux with an NFS client that lives in memory.
#
# The kernel and the NFS programs come out of Debian packages that are downloaded but not installed; the
# everyday programs (mount, find, sha256sum ...) and most libraries are copied from this Debian.
# DIR appears complete or not at all, also when several builds of it run at once. No root is needed,
# unless the machine's lists of packages are out of date. Needs the packages cpio and kmod.
set -euo pipefail
out=$(realpath -m "${1:?usage: build.sh DIR}")
here=$(cd "$(dirname "$0")" && pwd)

# Programs for the guest, in /sbin and /bin; all others are busybox's.
nfs_programs=(sbin/mount.nfs sbin/umount.nfs sbin/rpcbind sbin/rpc.statd sbin/sm-notify sbin/showmount
  usr/sbin/nfsstat usr/bin/rpcinfo)
host_programs=(dash mount umount flock find xargs sha256sum dd stat ls du df timeout)
# Their packages, with the libraries that a small Debian lacks.
packages=(busybox-static nfs-common rpcbind netbase libtirpc-common libtirpc3 libwrap0 libkeyutils1
  libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2)
modules=(virtio_pci virtio_net virtio_console nfsv3 nfsv4)

main() {
  mkdir -p "$(dirname "$out")"
  exec 9>"$out.lock"
  flock -w 400 9 || die "another build of $out does not end"
  [ ! -s "$out/initrd.gz" ] || return 0
  rm -rf "$out" "$out".part.* # what an interrupted build left
  work=$(mktemp -d "$out.part.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  kernel=$(kernel_package) && fetch "$kernel" "${packages[@]}" || {
    apt-get update -qq # the lists are absent, or older than the mirror
    kernel=$(kernel_package)
    fetch "$kernel" "${packages[@]}"
  }
  for package in debs/*.deb; do dpkg -x "$package" unpacked; done
  release=${kernel#linux-image-}
  mkdir -p image root/{bin,sbin,lib64,lib/x86_64-linux-gnu,proc,sys,dev,tmp,mnt,run,root,etc,usr/lib/locale}
  mkdir -p root/var/lib/nfs/sm{,.bak}
  add_programs
  add_libraries
  add_modules
  add_settings
  install -m 644 "unpacked/boot/vmlinuz-$release" image/vmlinuz
  (cd root && find . | cpio --quiet -o -H newc -R 0:0) | gzip -1 >image/initrd.gz
  chmod 755 image && mv -T image "$out"
}

die() {
  echo "build.sh: $*" >&2
  exit 1
}

# kernel_package prints the package behind linux-image-cloud-amd64, Debian's kernel for virtual machines.
kernel_package() {
  apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ {print $2; found=1} END {exit !found}'
}

fetch() {
  mkdir -p debs
  (cd debs && apt-get download -qq -o APT::Sandbox::User=root "$@")
}

add_programs() {
  local name
  cp unpacked/bin/busybox root/bin/
  for name in $(root/bin/busybox --list); do
    [ "$name" = busybox ] || ln -s busybox "root/bin/$name"
  done
  for name in "${nfs_programs[@]}"; do cp "unpacked/$name" root/sbin/; done
  for name in "${host_programs[@]}"; do cp --remove-destination "$(type -P "$name")" root/bin/; done
  ln -sf dash root/bin/sh # busybox's shell runs its own mount, whatever PATH says
  ln -s mount.nfs root/sbin/mount.nfs4
  ln -s ../bin/busybox root/sbin/modprobe # where the kernel looks, when it wants a module itself
}

# add_libraries copies what the programs are linked with, the downloaded libraries before the host's own.
add_libraries() {
  local found=unpacked/lib/x86_64-linux-gnu:unpacked/usr/lib/x86_64-linux-gnu program missing library
  for program in root/sbin/* root/bin/*; do
    [ ! -L "$program" ] && [ "$program" != root/bin/busybox ] || continue
    LD_LIBRARY_PATH=$found ldd "$program"
  done >libraries
  missing=$(awk '/not found/ {print $1}' libraries | sort -u)
  [ -z "$missing" ] || die "no package in the list has" $missing
  awk '$2 == "=>" {print $3}' libraries | sort -u | while read -r library; do
    cp -L "$library" root/lib/x86_64-linux-gnu/
  done
  cp -L /lib64/ld-linux-x86-64.so.2 root/lib64/
}

# add_modules copies the kernel modules of the list and every module these need.
add_modules() {
  local module file
  depmod -b unpacked "$release"
  for module in "${modules[@]}"; do
    modprobe -d unpacked -S "$release" --show-depends "$module"
  done | awk '$1 == "insmod" {print $2}' | sort -u >needed
  while read -r file; do install -D -m 644 "$file" "root/lib/${file#*/lib/}"; done <needed
  cp "unpacked/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "root/lib/modules/$release/"
  depmod -b root "$release"
}

add_settings() {
  install -m 755 "$here/init.sh" root/init
  cp unpacked/etc/{protocols,services,rpc,netconfig} root/etc/
  cp -r /usr/lib/locale/C.utf8 root/usr/lib/locale/
  printf '%s\n' 'root:x:0:0::/root:/bin/sh' 'statd:x:100:100::/:/bin/sh' '_rpc:x:101:100::/:/bin/sh' >root/etc/passwd
  printf '%s: files\n' passwd group hosts services rpc protocols >root/etc/nsswitch.conf
  echo 'root:x:0:' >root/etc/group
  echo '127.0.0.1 localhost guest' >root/etc/hosts
  ln -s /proc/mounts root/etc/mtab
  ln -s /run root/var/run
}

[ "$(dpkg --print-architecture)" = amd64 ] || die "only for Debian on amd64"
main
