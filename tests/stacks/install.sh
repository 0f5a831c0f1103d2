#!/usr/bin/env bash
# Brings what the five stock stacks need below build/stacks: a Python environment, the Go service, the Spring Boot service with its Java agent.
# Node's packages are those of the project's lock file. Quick when all is there already; what has no toolchain here is left out, and said.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
out=$here/../../build/stacks
mkdir -p "$out"
out=$(readlink -f "$out")
agent_sha256=5c48cd48f9907f824214e22f14a28375c92613a94b0cf98381997e0a678220ce

has() { command -v "$1" >/dev/null; }

# once NAME FILE...: runs build_NAME unless it succeeded with the same files.
once() {
  local name=$1 stamp=$out/$1.stamp sum; shift
  sum=$(cat "$@" "$here/install.sh" | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ] || return 0
  echo "installing the stack: $name" >&2
  rm -rf "${out:?}/$name" "$stamp"
  "build_$name"
  echo "$sum" >"$stamp"
}

# The environment of the tree's own Python, so that another version of it builds another one.
build_python() {
  python3 -m venv "$out/python"
  "$out/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$here/python/requirements.txt"
}

build_go() { (cd "$here/go" && go build -trimpath -o "$out/go/shop" .); }

build_spring() {
  mvn --quiet --batch-mode -f "$here/spring/pom.xml" -Dstacks.build="$out/spring" package
  echo "$agent_sha256  $out/spring/agent.jar" | sha256sum --check --quiet
}

once python "$here/python/requirements.txt"
if has go; then once go "$here"/go/*; else echo "no Go here: its stack is left out" >&2; fi
if has java && has mvn; then
  once spring "$here/spring/pom.xml" "$here/spring/src/main/java/stacks/Shop.java"
else
  echo "no Java with Maven here: the Spring Boot stack is left out" >&2
fi
