#!/bin/sh
# Shows cdi-hook at work: one container that asks for a CDI device, and the same container that does not.
#
#   sh packaging/demo.sh          (as root, on Debian 12 or later)
#
# Installs runc, busybox-static and python3-venv from Debian if they are missing. Everything else happens in one temporary directory,
# which is removed at the end: no engine and nothing in /etc is touched.
set -eu

say() { printf '%s\n' "$*"; }
fail() {
  printf 'demo.sh: %s\n' "$*" >&2
  exit 1
}
[ "$(id -u)" = 0 ] || fail "runc needs root here; run it as root"
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin

missing=''
command -v runc >/dev/null || missing="$missing runc"
[ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || missing="$missing busybox-static"
/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3 python3-venv"
if [ "$missing" ]; then
  command -v apt-get >/dev/null || fail "please install:$missing"
  say "Installing from Debian:$missing"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of words
  { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >/dev/null || fail "apt-get could not install:$missing"
fi

device=''
for candidate in /dev/fuse /dev/kvm /dev/net/tun; do
  [ -c "$candidate" ] && device=$candidate && break
done
[ "$device" ] || fail "this machine has none of /dev/fuse, /dev/kvm and /dev/net/tun to show"

dir=$(mktemp -d /tmp/cdi-demo.XXXXXX)
runc=$(command -v runc)
clean_up() {
  status=$?
  trap - EXIT
  for id in with without unknown; do "$runc" --root "$dir/state" delete --force "cdi-demo-$id-$$" >/dev/null 2>&1 || :; done
  [ ! -d "$dir/prefix" ] || sh "$here/install.sh" --uninstall --prefix "$dir/prefix" >/dev/null || status=1
  rm -rf -- "$dir"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

say "1. Installing cdi-hook below $dir/prefix ..."
sh "$here/install.sh" --prefix "$dir/prefix" >/dev/null

say "2. Writing a CDI spec: the device vendor.com/demo=first is $device, with an environment variable, a mount and a hook:"
mkdir "$dir/cdi" "$dir/vendor"
say "a file of the vendor, mounted from the host" >"$dir/vendor/greeting"
cat >"$dir/vendor/hook" <<'HOOK'
#!/bin/sh
echo "ran before the container's program" >run/hook # createContainer: runc starts it in the container's root
HOOK
chmod 755 "$dir/vendor/hook"
cat >"$dir/cdi/vendor.yaml" <<SPEC
cdiVersion: "0.6.0"
kind: vendor.com/demo
devices:
- name: first
  containerEdits:
    deviceNodes:
    - path: $device
    env:
    - DEMO_DEVICE=first
    mounts:
    - hostPath: $dir/vendor
      containerPath: /opt/vendor
      options: [rbind, ro]
    hooks:
    - hookName: createContainer
      path: $dir/vendor/hook
SPEC
sed 's/^/     /' "$dir/cdi/vendor.yaml"
printf 'runtime: %s\nspecDirs: [%s]\n' "$runc" "$dir/cdi" >"$dir/settings.yaml"
export CDI_HOOK_CONFIG="$dir/settings.yaml"

# One bundle: a busybox root and runc's own default config, with a program that looks around, and perhaps the annotation.
bundle() {
  mkdir -p "$dir/$1/rootfs/bin" "$dir/$1/rootfs/run"
  cp /bin/busybox "$dir/$1/rootfs/bin/busybox"
  for name in sh cat; do ln -s busybox "$dir/$1/rootfs/bin/$name"; done
  cat >"$dir/$1/rootfs/look" <<LOOK
if [ -c $device ]; then if : <>$device; then echo "there, and can be opened"; else echo "there, but cannot be opened"; fi; else echo "not there"; fi
echo "\${DEMO_DEVICE:-not set}"
cat /opt/vendor/greeting || echo "not there"
cat /run/hook || echo "did not run"
LOOK
  (cd "$dir/$1" && "$runc" spec)
  /usr/bin/python3 - "$dir/$1/config.json" "$2" <<'EDIT'
import json, sys
path, device = sys.argv[1:]
with open(path) as file:
    config = json.load(file)
config["process"].update(terminal=False, args=["sh", "/look"])
config["root"]["readonly"] = False
if device:
    config["annotations"] = {"cdi.k8s.io/demo": device}
with open(path, "w") as file:
    json.dump(config, file)
EDIT
}

# Runs a bundle as an engine would: create by way of cdi-runtime, which becomes runc. Its output goes to a file.
run() {
  "$dir/prefix/bin/cdi-runtime" --root "$dir/state" run --bundle "$dir/$1" "cdi-demo-$1-$$" >"$dir/$1.out" 2>"$dir/$1.err" </dev/null
}

say "3. Running two containers through cdi-runtime and $runc, alike but for one line in the config of the second:"
say '     "annotations": {"cdi.k8s.io/demo": "vendor.com/demo=first"}'
bundle without ''
bundle with vendor.com/demo=first
run without || fail "the plain container failed: $(cat "$dir/without.err")"
run with || fail "the container with the device failed: $(cat "$dir/with.err")"
say "4. What their programs saw:"
say ""
printf '     %-22s %-24s %s\n' '' 'without the annotation' 'with it' '' '----------------------' '-------'
for row in "1 $device" "2 \$DEMO_DEVICE" '3 /opt/vendor/greeting' '4 the hook'; do
  printf '     %-22s %-24s %s\n' "${row#* }" "$(sed -n "${row%% *}p" "$dir/without.out")" "$(sed -n "${row%% *}p" "$dir/with.out")"
done
say ""

say "5. A third one asks for a device that no spec defines. It does not start, and the engine gets the reason:"
bundle unknown vendor.com/demo=second
if run unknown; then fail "it was started all the same"; fi
sed 's/^/     /' "$dir/unknown.err"

[ "$(sed -n 1p "$dir/with.out")" = "there, and can be opened" ] || fail "the device was not there: $(cat "$dir/with.err")"
[ "$(sed -n 2p "$dir/with.out")" = first ] || fail "the variable was not set"
[ "$(sed -n 3p "$dir/with.out")" = "$(cat "$dir/vendor/greeting")" ] || fail "the mount was not there"
[ "$(sed -n 4p "$dir/with.out")" = "ran before the container's program" ] || fail "the hook did not run"
say "Done. $dir is removed again."
