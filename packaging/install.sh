#!/bin/sh
# Installs cdi-hook below a prefix, or removes it again. Touches no engine and nothing in /etc.
#
#   sh packaging/install.sh [--prefix DIR] [--python PATH]
#   sh packaging/install.sh --uninstall [--force] [--prefix DIR]
#
# DIR/lib/cdi-hook/VERSION-N holds the package, its dependencies, the joined hot path and the two programs, with their absolute paths
# written in; DIR/lib/cdi-hook/current links to the version in use, DIR/bin/* link through it. A switch is one rename, and a program
# that has been started goes on in its own version. The version before stays; older ones go. Needs sh and python3 with venv.
# shellcheck disable=SC3013 # -ef is in dash, bash and busybox
set -eu
umask 022

say() { printf '%s\n' "$*"; }
fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}
usage() {
  sed -n '4,5s/^# *//p' "$0" >&2
  exit 2
}

prefix=/usr/local python=/usr/bin/python3 uninstall='' force=''
while [ $# -gt 0 ]; do
  case $1 in
  --prefix=* | --python=*)
    option=${1%%=*} value=${1#*=}
    shift
    set -- "$option" "$value" "$@"
    continue
    ;;
  --prefix | --python)
    [ $# -ge 2 ] || usage
    if [ "$1" = --prefix ]; then prefix=$2; else python=$2; fi
    shift
    ;;
  --uninstall) uninstall=1 ;;
  --force) force=1 ;;
  *) usage ;;
  esac
  shift
done
[ -z "$force" ] || [ "$uninstall" ] || usage
[ "$prefix" ] || usage
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
case $prefix in ?*/) prefix=${prefix%/} ;; esac
home=$prefix/lib/cdi-hook
source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
root=${CDI_HOOK_SYSTEM_ROOT:-} # tests look for engines below another root
left_by='left by the uninstall of cdi-hook'

# Whether a program in DIR/bin is ours to replace or remove: a link into our directory, or the stub of an earlier uninstall.
ours() {
  case $(readlink -- "$1" || :) in
  *lib/cdi-hook/current/bin/*) return 0 ;;
  '') [ -f "$1" ] && grep -qF "$left_by" "$1" ;;
  *) return 1 ;;
  esac
}

# A directory that we had to make, to be removed by the uninstall.
make_directory() {
  [ -d "$1" ] && return
  make_directory "$(dirname -- "$1")"
  mkdir -- "$1"
  made="$made$1
"
}

# Makes $2 a link to $1 by one rename, whatever $2 was.
switch_link() {
  rm -f -- "$2.new-$$"
  ln -s -- "$1" "$2.new-$$"
  mv -Tf -- "$2.new-$$" "$2"
}

check_python() {
  case $python in /*) ;; *) fail "--python $python: give an absolute path" ;; esac
  [ -x "$python" ] || fail "$python: there is no interpreter; apt-get install python3, or name another with --python PATH"
  "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 9))' || fail "$python: is older than Python 3.9"
  real_python=$("$python" -I -c 'import os, sys; print(os.path.realpath(sys.executable))')
  version=$("$python" -I -B -c 'import sys; sys.path.insert(0, sys.argv[1]); import cdi_hook; print(cdi_hook.__version__)' "$source")
  if "$python" -I -m pip --version >/dev/null 2>&1; then
    pip_python=$python
  else
    "$python" -I -c 'import ensurepip, venv' 2>/dev/null ||
      fail "$python: has neither pip nor venv; apt-get install python3-venv, or name another with --python PATH"
    pip_python=
  fi
}

# The grep that starts fastest: that of a static busybox saves half a millisecond of every create. Only if it is as good.
fast_grep() {
  for busybox in /bin/busybox /usr/bin/busybox; do
    if [ -x "$busybox" ] && ! ldd "$busybox" >/dev/null 2>&1 && printf '"x\\u0069"\n' | "$busybox" grep -Fqs -e no -e '\u006' 2>/dev/null; then
      printf '%s grep' "$busybox"
      return
    fi
  done
  command -v grep
}

# Everything of one version, in $1, with the paths that it will have in $2.
build() {
  mkdir -- "$1/bin" "$1/lib"
  if [ -z "$pip_python" ]; then
    "$python" -I -m venv -- "$1/venv" >/dev/null || fail "$python: cannot make a virtual environment; apt-get install python3-venv"
    pip_python=$1/venv/bin/python
  fi
  if ! PIP_ROOT_USER_ACTION=ignore "$pip_python" -I -m pip install --quiet --disable-pip-version-check --no-compile --prefer-binary \
    --no-warn-conflicts --target "$1/lib" --requirement "$source/packaging/requirements.txt" >"$1/pip.log" 2>&1; then
    cat -- "$1/pip.log" >&2
    fail "pip could not install the dependencies"
  fi
  rm -rf -- "$1/pip.log" "$1/venv" "$1/lib/bin"
  cp -R -- "$source/cdi_hook" "$source/hooks.d" "$1/lib/"
  find "$1/lib" -name __pycache__ -type d -prune -exec rm -rf -- {} +
  "$python" -I -B "$source/packaging/join.py" --source "$1/lib" --lib "$2/lib" --output "$1/hot.pyc"
  "$python" -I -B "$source/packaging/launcher.py" --python "$real_python" --hot "$2/hot.pyc" --grep "$(fast_grep)" >"$1/bin/cdi-runtime"
  "$python" -I -B "$source/packaging/launcher.py" --python "$real_python" --tool "$2/lib" >"$1/bin/cdi-hook"
  chmod 755 -- "$1/bin/cdi-runtime" "$1/bin/cdi-hook"
  # With the paths of the finished version, so that nothing names the directory where it was built.
  "$python" -I -m compileall -q -s "$1" -p "$2" -- "$1/lib" >/dev/null || fail "$python: cannot compile the package"
  "$python" -I -S -c 'import sys; sys.path.append(sys.argv[1]); from yaml.cyaml import CParser; import cdi_hook.__main__' "$1/lib" ||
    fail "the installed package does not start"
}

install() {
  for name in cdi-runtime cdi-hook; do
    program=$prefix/bin/$name
    [ ! -e "$program" ] && [ ! -L "$program" ] || ours "$program" || fail "$program: is not ours; move it away or choose another --prefix"
  done
  check_python
  made='' stage='' final=''
  trap 'undo $?' EXIT
  trap 'exit 130' HUP INT TERM
  make_directory "$prefix/bin"
  make_directory "$home"
  [ -z "$made" ] || printf '%s' "$made" >>"$home/made"
  number=1
  while [ -e "$home/$version-$number" ]; do number=$((number + 1)); done
  stage=$(mktemp -d "$home/.new-XXXXXX")
  chmod 755 -- "$stage"
  build "$stage" "$home/$version-$number"
  mv -T -- "$stage" "$home/$version-$number"
  stage='' final=$home/$version-$number
  "$final/bin/cdi-hook" --help >/dev/null || fail "$final/bin/cdi-hook does not start"
  previous=$(readlink -- "$home/current" || :)
  switch_link "$version-$number" "$home/current"
  final=''
  for name in cdi-runtime cdi-hook; do switch_link "../lib/cdi-hook/current/bin/$name" "$prefix/bin/$name"; done
  find "$home" -maxdepth 1 -name '.new-*' -mmin +60 -exec rm -rf -- {} + # of an install that was killed
  for old in "$home"/*-*; do
    case ${old##*/} in "$version-$number" | "$previous") ;; *) rm -rf -- "$old" ;; esac
  done
  say "cdi-hook $version is installed: $prefix/bin/cdi-runtime stands in front of runc and crun, $prefix/bin/cdi-hook is its tool."
}

# After a failure: what was current stays current, what we began goes.
undo() {
  [ "$1" -ne 0 ] || exit 0
  [ -z "$stage" ] || rm -rf -- "$stage"
  [ -z "$final" ] || rm -rf -- "$final"
  [ -L "$home/current" ] || remove_directories
  exit "$1"
}

# The record and the directories that we made, deepest first, as far as they are empty.
remove_directories() {
  directories=$(cat -- "$home/made" 2>/dev/null || :)
  rm -f -- "$home/made"
  printf '%s\n' "$home" "$directories" | sort -ru | while IFS= read -r directory; do
    [ -z "$directory" ] || rmdir -- "$directory" 2>/dev/null || :
  done
}

# Every live bundle, running process and engine setting that names one of our programs, a line each.
users() {
  find "$root/run/containerd" "$root/run/docker" "$root/run/containers" "$root/run/runc" "$root/run/crun" "$root/run/youki" \
    "$root/run/crio" "$root"/run/user/*/containers "$root"/run/user/*/runc "$root"/run/user/*/crun \
    "$root"/var/lib/containers/storage/*-containers "$root"/home/*/.local/share/containers/storage/*-containers -maxdepth 7 \( -name rootfs -o -name merged \) -prune -o -type f \
    \( -name config.json -o -name options.json -o -name runtime -o -name state.json -o -name status \) \
    -exec grep -lF -f "$names" -- {} + 2>/dev/null
  # Lines such as imports = ["/somewhere/*.toml"] may name more files.
  imports=$(sed -n 's/^ *imports *= *\[\(.*\)\].*/\1/p' "$root/etc/containerd/config.toml" 2>/dev/null | tr -d "\"' " | tr , '\n')
  # shellcheck disable=SC2086 # a list of patterns, to be split and expanded
  grep -rlF -f "$names" -- "$root/etc/containerd" "$root/etc/crio" "$root/etc/containers" "$root/usr/share/containers" \
    "$root/etc/docker/daemon.json" "$root"/etc/systemd/system/docker* "$root"/etc/systemd/system/containerd* \
    "$root"/etc/systemd/system/crio* "$root"/var/lib/rancher/*/agent/etc/containerd "$root"/root/.config/containers \
    "$root"/home/*/.config/containers $imports 2>/dev/null
  for process in "$root"/proc/[0-9]*; do
    read -r name 2>/dev/null <"$process/comm" || continue
    case $name in # conmon is told the runtime's path and keeps it as long as its container lives
    conmon | dockerd | containerd* | crio | podman)
      tr '\0' '\n' 2>/dev/null <"$process/cmdline" | grep -qF -f "$names" && say "process ${process##*/} ($name)"
      ;;
    esac
  done
}

# The real runtime behind one of our programs: as its settings say, else the first on PATH.
real_runtime() {
  file=$root/etc/cdi-hook/config.yaml
  case $1 in cdi-runtime-*) file=$root/etc/cdi-hook/${1#cdi-runtime-}.yaml ;; esac
  found=$(sed -n "s/^runtime: *[\"']\{0,1\}\(\/[^ \"'#]*\).*/\1/p" "$file" 2>/dev/null | head -n 1)
  for name in runc crun; do
    [ "$found" ] || found=$(command -v "$name" || :)
    [ ! "$found" -ef "$prefix/bin/cdi-runtime" ] || found=''
  done
  printf '%s' "$found"
}

remove() {
  programs=$(mktemp) names=$(mktemp)
  trap 'rm -f -- "$programs" "$names"' EXIT
  trap 'exit 130' HUP INT TERM
  for program in "$prefix"/bin/cdi-runtime-* "$prefix/bin/cdi-hook" "$prefix/bin/cdi-runtime"; do
    [ -L "$program" ] || [ -e "$program" ] || continue
    if ours "$program" || [ "$program" -ef "$prefix/bin/cdi-runtime" ]; then say "$program" >>"$programs"; fi
  done
  if [ ! -s "$programs" ] && [ ! -d "$home" ]; then
    say "cdi-hook is not installed below $prefix."
    return
  fi
  { cat -- "$programs" && say "$home/"; } >"$names"
  used=$(users || :) # places that are not there are no failure
  if [ "$used" ] && [ -z "$force" ]; then
    say "$used" >&2
    fail "these name cdi-hook, and containers call it again when they end; undo them first, or leave a stub in its place with --force"
  fi
  while IFS= read -r program; do
    case ${program##*/} in
    cdi-runtime*)
      if [ "$used" ]; then
        runtime=$(real_runtime "${program##*/}")
        [ "$runtime" ] || fail "no real runtime found to leave in place of $program"
        printf '#!/bin/sh\nexec %s "$@" # %s\n' "$(quote "$runtime")" "$left_by" >"$program.new-$$"
        chmod 755 -- "$program.new-$$"
        mv -Tf -- "$program.new-$$" "$program"
        say "$program now only starts $runtime; remove it with --uninstall when nothing names it any more."
        continue
      fi
      ;;
    esac
    rm -f -- "$program"
  done <"$programs"
  find "$home" -mindepth 1 -maxdepth 1 ! -name made -exec rm -rf -- {} + 2>/dev/null || :
  rm -rf -- "$root/run/cdi-hook"
  if [ "$used" ]; then # the record stays for the uninstall that removes the stub
    rmdir -- "$home" 2>/dev/null || :
  else
    remove_directories
    say "cdi-hook is removed from $prefix."
  fi
}

# A word for sh, in single quotes.
quote() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

if [ "$uninstall" ]; then remove; else install; fi
