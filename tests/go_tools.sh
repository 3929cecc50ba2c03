# For scripts that run foreign suites written in Go; sourced from the project's root.

tools=$PWD/build/tools

# need_go <minor>: ends the script unless Go 1.<minor> or newer is here.
need_go() {
  local version
  version=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  if [ -z "$version" ] || [ "$version" -lt "$1" ]; then
    cat >&2 <<TEXT
$0: this suite is written in Go and needs Go 1.$1 or newer, from https://go.dev/dl (Debian 12's own is 1.19).
$([ -z "$version" ] && echo "No go is on the PATH." || echo "The go on the PATH is 1.$version.")
TEXT
    exit 1
  fi
}

# go_tool <folder> <package@version>...: installs programs into build/tools/<folder>, once.
go_tool() {
  local folder=$tools/$1 stamp
  shift
  stamp=$folder/.$(printf '%s\n' "$@" | cksum | cut -d ' ' -f 1)
  [ -e "$stamp" ] && return
  mkdir -p "$folder"
  local package
  for package in "$@"; do
    GOBIN=$folder GOFLAGS=-mod=mod go install "$package" ||
      { echo "$0: go install $package failed" >&2; exit 1; }
  done
  touch "$stamp"
}

# release_build <cmake option or empty> <target>...: builds programs with the release preset into build/release.
release_build() {
  local log option=$1
  shift
  log=$(mktemp)
  { cmake --preset release ${option:+"$option"} && cmake --build --preset release --parallel "$(nproc)" --target "$@"; } \
    </dev/null >"$log" 2>&1 || { tail -n 200 "$log"; echo "$0: the build failed" >&2; exit 1; }
  rm -f "$log"
}
