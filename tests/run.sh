#!/bin/sh
# Runs every check of the project on Debian 12 as root: installs what the tests need, then ruff, mypy, shellcheck and pytest.
#
#   sh tests/run.sh [PYTEST ARGUMENTS…]
#
# Ends with pytest's own count; exits with 0 only if everything passed. Python packages go to .venv in this tree, which git ignores.
set -u
cd "$(dirname -- "$0")/.." || exit 1

packages='runc crun containerd podman docker.io busybox-static umoci skopeo containernetworking-plugins jq curl uidmap fuse-overlayfs
  catatonit ca-certificates shellcheck strace iproute2 iptables python3-venv hyperfine git'
# shellcheck disable=SC2086 # a list of words
missing=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' $packages 2>&1 | grep -v '^installed ' || :)
if [ "$missing" ]; then
  export DEBIAN_FRONTEND=noninteractive
  # An engine's service must not start on its own: the tests start theirs, with all state in a temporary directory.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    trap 'rm -f -- "$policy"' EXIT
  fi
  # shellcheck disable=SC2086 # a list of words
  apt-get update -q && apt-get install -q -y --no-install-recommends $packages || exit 1
fi

python=.venv/bin/python
stamp=.venv/requirements
if ! cat packaging/requirements.txt tests/requirements.txt | cmp -s - "$stamp"; then
  rm -rf .venv
  /usr/bin/python3 -m venv .venv || exit 1
  $python -m pip install --quiet --disable-pip-version-check -r packaging/requirements.txt -r tests/requirements.txt || exit 1
  cat packaging/requirements.txt tests/requirements.txt >"$stamp"
fi

status=0
check() {
  echo "== $*"
  "$@" || status=1
}
scripts=$(find .ci/run packaging tests -type f \( -name '*.sh' -o -name run \))
check $python -m ruff check .
check $python -m ruff format --check .
check $python -m mypy --strict cdi_hook tests packaging/*.py
# shellcheck disable=SC2086 # a list of words
check shellcheck $scripts
check $python -m pytest -q "$@"
exit $status
