#!/bin/sh
# A restore drill as a shell script makes it, for the bench to compare with: the drill's calls, waits and checks, one after
# the other, with curl and POSIX tools (and a sleep that takes fractions). It shares nothing with the project's code.
#
#   drill.sh CHECKS
#
# CHECKS is a shell file that calls the check functions below, each a line. From the environment: PROXMOX_VE_ENDPOINT,
# PROXMOX_VE_API_TOKEN (secret), SSL_CERT_FILE, NODE, ARCHIVE, SOURCE_VMID, VMID, VM_NAME, STORAGE, BRIDGE, POOL, MEMORY_MIB
# (empty: as in the archive), ISOLATED (each ADDRESS/PORT that must not answer the restored VM), ROOT_CERTIFICATE (PEM file of the
# proxy's root), LIMIT_SECONDS (of the whole run).
# Prints "phase NAME SECONDS" at the end of each phase and "check NAME" for each check that passed.
set -eu
umask 077

: "${PROXMOX_VE_ENDPOINT:?}" "${PROXMOX_VE_API_TOKEN:?}" "${SSL_CERT_FILE:?}" "${NODE:?}" "${ARCHIVE:?}" "${SOURCE_VMID:?}"
: "${VMID:?}" "${VM_NAME:?}" "${STORAGE:?}" "${BRIDGE:?}" "${POOL:?}" "${ROOT_CERTIFICATE:?}" "${LIMIT_SECONDS:?}" "${ISOLATED:?}"
checks=${1:?the file with the checks}
newline='
'
# How long containers are watched for a restart at least. Seconds.
window=5

die() {
  printf 'Unable to drill %s: %s.\n' "$ARCHIVE" "$1" >&2
  exit 1
}

# Hundredths of a second since the node's boot, in $now.
clock() {
  read -r now _ </proc/uptime
  now=${now%.*}${now#*.}
}

end_phase() {
  clock
  took=$((now - phase_start)) phase_start=$now
  printf 'phase %s %d.%02d\n' "$1" $((took / 100)) $((took % 100))
}

# Between two looks at what is waited for.
pause() {
  clock
  [ "$now" -lt "$limit" ] || die "no end within $LIMIT_SECONDS s; waited for $1"
  sleep 0.2
}

# --- Proxmox -----------------------------------------------------------------------------------------------------------

# api METHOD PATH [NAME=VALUE | NAME@FILE]…: prints the answer; fails on a status of 400 and above.
api() {
  method=$1 url=${PROXMOX_VE_ENDPOINT%/}/api2/json$2
  shift 2
  for value; do
    shift
    set -- "$@" --data-urlencode "$value"
  done
  case $method in
  GET | DELETE) curl --config "$work/curl" --request "$method" --get "$@" "$url" ;;
  *)
    [ $# -gt 0 ] || set -- --data ''
    curl --config "$work/curl" --request "$method" "$@" "$url"
    ;;
  esac
}

# The call must succeed; its answer is in $answer.
call() {
  answer=$(api "$@") || die "$1 $2 failed: $answer"
}

# The text of a JSON string that stands under a key of the JSON on stdin.
text_of() {
  printf '%b' "$(sed -nE 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p' | sed 's/\\"/"/g')"
}

# The number that stands under a key of the JSON on stdin.
number_of() {
  sed -nE 's/.*"'"$1"'":"?(-?[0-9]+).*/\1/p'
}

# Objects of a list, or fields of an object, each on a line of its own.
items() {
  sed "s/},{/}\\$newline{/g"
}
fields() {
  sed "s/^{\"data\":{//; s/,\"/\\$newline\"/g"
}

finish_task() {
  task=$(printf '%s\n' "$answer" | text_of data)
  while :; do
    call GET "/nodes/$NODE/tasks/$task/status"
    case $answer in *'"status":"stopped"'*) break ;; esac
    pause "task $task"
  done
  case $answer in
  *'"exitstatus":"OK"'* | *'"exitstatus":"WARNINGS'*) ;;
  *) die "task $task ended with $answer" ;;
  esac
}

# On no storage of the node may be a disk of the VMID.
no_disks() {
  call GET "/nodes/$NODE/storage" enabled=1
  for name in $(printf '%s\n' "$answer" | items | grep '"content":"[^"]*images' | text_of storage); do
    call GET "/nodes/$NODE/storage/$name/content" content=images "vmid=$VMID"
    case $answer in *"vm-$VMID-"*) die "storage $name has a disk of VMID $VMID" ;; esac
  done
}

# --- The guest -----------------------------------------------------------------------------------------------------------

# guest WORD…: runs a command in the guest, with the file $input on its standard input. Output in $out, exit code in $code;
# a guest that does not answer is exit code -1. Fails unless the code is 0.
guest() {
  for word; do
    shift
    set -- "$@" "command=$word"
  done
  [ -z "$input" ] || set -- "$@" "input-data@$input"
  code=-1 out=
  answer=$(api POST "/nodes/$NODE/qemu/$VMID/agent/exec" "$@" 2>&1) || return 1
  pid=$(printf '%s\n' "$answer" | number_of pid)
  while :; do
    answer=$(api GET "/nodes/$NODE/qemu/$VMID/agent/exec-status" "pid=$pid" 2>&1) || return 1
    case $answer in *'"exited":1'* | *'"exited":true'*) break ;; esac
    pause "a command in the guest"
  done
  code=$(printf '%s\n' "$answer" | number_of exitcode)
  out=$(printf '%s\n' "$answer" | text_of out-data)
  [ "${code:=-1}" -eq 0 ]
}

# NAME STATUS HEALTH RESTARTS STARTED of containers, each on a line of $out.
look() {
  guest docker inspect --type container --format \
    '{{.Name}} {{.State.Status}} {{with .State.Health}}{{.Status}}{{else}}none{{end}} {{.RestartCount}} {{.State.StartedAt}}' "$@"
}

# Whether all of these containers run.
run_all() {
  look "$@" && [ "$(printf '%s\n' "$out" | grep -c '^/[^ ]* running ')" -eq $# ]
}

# --- Checks --------------------------------------------------------------------------------------------------------------

passed() {
  printf 'check %s\n' "$*"
}

# container NAME healthy|running: looked at after the other checks, and again at the end.
containers=
watched=
container() {
  containers="$containers $1"
  watched="$watched$1 $2$newline"
}

# deployment NAME IMAGE DIGEST|'' CONFIGURATION
deployed=
deployment() {
  # In the guest's shell.
  # shellcheck disable=SC2016
  while [ -z "$deployed" ]; do
    if guest sh -c 'set -e
      docker inspect --type container --format "container {{.Name}} {{.Image}} {{index .Config.Labels \"homelab.image\"}} {{index .Config.Labels \"homelab.configuration\"}}" $(docker ps --all --quiet --no-trunc)
      docker image ls --all --no-trunc --digests --format "image {{.ID}} {{.Digest}}"'; then
      deployed=$out
    else
      pause "Docker"
    fi
  done
  line=$(printf '%s\n' "$deployed" | grep "^container /$1 ") || die "there is no container $1"
  case $line in *" $2 $4") ;; *) die "container $1 is not what was deployed: $line" ;; esac
  if [ -n "$3" ]; then
    id=${line#container /* }
    printf '%s\n' "$deployed" | grep -q "^image ${id%% *} $3\$" || die "the image of container $1 has not the digest $3"
  fi
  passed "deployment $1"
}

# http HOST PATH STATUS BODY|'' CONTAINER…
http() {
  host=$1 path=$2 status=$3 body=$4
  shift 4
  while :; do
    if run_all "$@"; then
      input=$ROOT_CERTIFICATE
      if guest curl --silent --show-error --noproxy '*' --max-time 30 --cacert /dev/stdin --capath /dev/null \
        --resolve "$host:443:127.0.0.1" --write-out '\n%{http_code}' "https://$host$path" &&
        [ "${out##*"$newline"}" = "$status" ]; then
        case ${out%"$newline"*} in *"$body"*) break ;; esac
      fi
      input=
    fi
    pause "https://$host$path"
  done
  input=
  passed "http $host$path"
}

# In $out: what a statement gives. Where it says {bootedAt}, the guest's boot time is put, seconds since the epoch.
query() {
  container=$1 database=$2 user=$3 statement=$4
  case $statement in
  *'{bootedAt}'*)
    until guest cat /proc/stat; do pause "the guest's boot time"; done
    booted=$(printf '%s\n' "$out" | sed -n 's/^btime //p')
    statement=$(printf '%s\n' "$statement" | sed "s/{bootedAt}/$booted/g")
    ;;
  esac
  while :; do
    if run_all "$container"; then
      case $out in
      *' starting '*) ;;
      *)
        ! guest docker exec -e 'PGOPTIONS=-c default_transaction_read_only=on' "$container" \
          psql -X -t -A -v ON_ERROR_STOP=1 -U "$user" -d "$database" -c "$statement" || break
        ;;
      esac
    fi
    pause "the database of $container"
  done
}

# sql CONTAINER DATABASE USER equals|atLeast VALUE STATEMENT
sql() {
  query "$1" "$2" "$3" "$6"
  case $4 in
  equals) [ "$out" = "$5" ] || die "a statement gave \"$out\", expected \"$5\": $6" ;;
  atLeast) [ "$out" -ge "$5" ] || die "a statement gave \"$out\", expected at least $5: $6" ;;
  *) die "there is no comparison $4" ;;
  esac
  passed "sql $1 $2"
}

# canary CONTAINER DATABASE USER TABLE INTERVAL_SECONDS SKEW_SECONDS
canary() {
  query "$1" "$2" "$3" "SELECT floor(extract(epoch FROM max(stamped_at))) FROM $4
    WHERE boot_id <> '$boot_id'::uuid AND stamped_at <= to_timestamp($((archive_time + $6)))"
  [ -n "$out" ] || die "table $4 has no row from before the archive"
  [ $((archive_time - out)) -le $((2 * $5)) ] || die "the newest row of table $4 is $((archive_time - out)) s older than the archive"
  passed "canary $4"
}

# Whether all containers are as their checks want them, by the lines in $out.
all_well() {
  while read -r name wanted; do
    [ -n "$name" ] || continue
    case $wanted in healthy) state='running healthy' ;; *) state=running ;; esac
    printf '%s\n' "$out" | grep -q "^/$name $state " || return 1
  done <<END
$watched
END
}

check_containers() {
  [ -n "$containers" ] || return 0
  # Names have no spaces.
  # shellcheck disable=SC2086
  until look $containers && all_well; do pause "containers$containers"; done
  first=$out
  sleep "$window"
  # shellcheck disable=SC2086
  until look $containers; do pause "the last look at the containers"; done
  all_well || die "a container went down during the checks: $out"
  [ "$(printf '%s\n' "$first" | sed -E 's/^(\/[^ ]*) .* ([0-9]+ [^ ]+)$/\1 \2/')" = \
    "$(printf '%s\n' "$out" | sed -E 's/^(\/[^ ]*) .* ([0-9]+ [^ ]+)$/\1 \2/')" ] ||
    die "a container restarted during the checks: $out"
  for name in $containers; do passed "container $name"; done
}

# --- The drill -----------------------------------------------------------------------------------------------------------

work=${TMPDIR:-/tmp}/drill.$$
mkdir "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
printf 'silent\nshow-error\nfail-with-body\nmax-time = 60\ncacert = "%s"\nheader = "Authorization: PVEAPIToken=%s"\n' \
  "$SSL_CERT_FILE" "$PROXMOX_VE_API_TOKEN" >"$work/curl"
input=
clock
phase_start=$now
limit=$((now + LIMIT_SECONDS * 100))

# The archive, and a VMID that is free of guests and disks.
backups=${ARCHIVE%%:*}
call GET "/nodes/$NODE/storage/$backups/status"
case $answer in *'"active":1'*) ;; *) die "storage $backups is offline" ;; esac
call GET "/nodes/$NODE/storage/$backups/content" content=backup "vmid=$SOURCE_VMID"
archive_time=$(printf '%s\n' "$answer" | items | grep -F "\"$ARCHIVE\"" | number_of ctime)
[ -n "$archive_time" ] || die "storage $backups does not have it"
call GET /cluster/resources type=vm
guests=$(printf '%s\n' "$answer" | items)
! printf '%s\n' "$guests" | grep -Eq "\"vmid\":\"?${VMID}[,\"}]" || die "VMID $VMID is taken"
call GET /cluster/nextid "vmid=$VMID"
call GET /access/permissions path=/storage
call GET "/access/permissions" "path=/vms/$VMID"
no_disks
call GET "/nodes/$NODE/time"

# Room for it.
call GET "/nodes/$NODE/vzdump/extractconfig" "volume=$ARCHIVE"
config=$(printf '%s\n' "$answer" | text_of data)
! printf '%s\n' "$config" | grep -Eq '^(hostpci|usb|parallel|virtiofs|ivshmem|args|hookscript)' || die "it is tied to the node's hardware"
needed=0
for size in $(printf '%s\n' "$config" | sed -nE 's/^(scsi|virtio|sata|ide|efidisk|tpmstate)[0-9]+: .*[,]size=([0-9]+[KMGT]).*/\2/p'); do
  case $size in *K) shift_by=10 ;; *M) shift_by=20 ;; *G) shift_by=30 ;; *) shift_by=40 ;; esac
  needed=$((needed + (${size%?} << shift_by)))
done
call GET "/nodes/$NODE/storage/$STORAGE/status"
[ "$(printf '%s\n' "$answer" | number_of avail)" -ge $((needed + needed / 10)) ] || die "storage $STORAGE has no room for $needed bytes"
call GET "/nodes/$NODE/status"
memory=${MEMORY_MIB:-$(printf '%s\n' "$config" | sed -nE 's/^memory: ([0-9]+)$/\1/p')}
available=$(printf '%s\n' "$answer" | sed 's/.*"memory":{//; s/}.*//' | number_of available)
[ "$available" -ge $(((memory + 512) << 20)) ] || die "node $NODE has no memory for $memory MiB"

# A bridge that isolates, with nobody else on it.
call GET "/nodes/$NODE/network"
bridge=$(printf '%s\n' "$answer" | items | grep "\"iface\":\"$BRIDGE\"") || die "node $NODE has no bridge $BRIDGE"
case $bridge in *'"bridge_ports":"'[!\"]* | *'"cidr'* | *'"address'*) die "bridge $BRIDGE does not isolate: $bridge" ;; esac
call GET /access/permissions path=/vms
for other in $(printf '%s\n' "$guests" | grep "\"node\":\"$NODE\"" | grep '"type":"qemu"' | number_of vmid); do
  call GET "/nodes/$NODE/qemu/$other/config"
  case $answer in *"bridge=$BRIDGE,"* | *"bridge=$BRIDGE\""*) die "VM $other is on bridge $BRIDGE" ;; esac
done

call GET /pools "poolid=$POOL"
call GET /access/permissions "path=/pool/$POOL"

# No backup job takes the VM.
call GET /cluster/backup
jobs=$(printf '%s\n' "$answer" | items | grep -v '"enabled":0')
if printf '%s\n' "$jobs" | grep '"all":1' | grep -qvE "\"exclude\":\"([0-9,]*,)?$VMID[,\"]" ||
  printf '%s\n' "$jobs" | grep -qF "\"pool\":\"$POOL\"" ||
  printf '%s\n' "$jobs" | grep -qE "\"vmid\":\"([0-9,]*,)?$VMID[,\"]"; then
  die "a backup job takes VM $VMID: $jobs"
fi

# An empty VM takes the VMID in the pool; then it is seen whether disks of it are about.
uuid=$(cat /proc/sys/kernel/random/uuid)
set -- "vmid=$VMID" "pool=$POOL" "name=$VM_NAME" "smbios1=uuid=$uuid" "description=Made by drill.sh from $ARCHIVE"
call POST "/nodes/$NODE/qemu" "$@"
finish_task
call GET /access/permissions path=/storage
call GET "/access/permissions" "path=/vms/$VMID"
no_disks
call GET "/nodes/$NODE/qemu/$VMID/config"
case $answer in *"uuid=$uuid"*) ;; *) die "somebody changed VM $VMID" ;; esac

set -- "$@" "archive=$ARCHIVE" force=1 "storage=$STORAGE" unique=1 start=0 onboot=0 protection=0
[ -z "$MEMORY_MIB" ] || set -- "$@" "memory=$MEMORY_MIB"
for network in $(printf '%s\n' "$config" | sed -nE "s/^(net[0-9]+): ([a-z0-9-]+).*/\\1=\\2,bridge=$BRIDGE/p"); do
  set -- "$@" "$network"
done
call POST "/nodes/$NODE/qemu" "$@"
finish_task
end_phase restore

call GET "/nodes/$NODE/qemu/$VMID/config"
now_has=$(printf '%s\n' "$answer" | fields)
case $now_has in *"uuid=$uuid"*) ;; *) die "VM $VMID has not the UUID of this run" ;; esac
! printf '%s\n' "$now_has" | grep -E '^"net[0-9]+"' | grep -Ev "bridge=${BRIDGE}[,\"]" || die "VM $VMID is not isolated"
! printf '%s\n' "$now_has" | grep -E '^"(scsi|virtio|sata|ide|efidisk|tpmstate)[0-9]+"' | grep -Ev "vm-$VMID-|:\"(none|cdrom)," ||
  die "VM $VMID has a disk that is not its own"
! printf '%s\n' "$now_has" | grep -E '^"(onboot|protection)":"?1|^"lock"' || die "VM $VMID is not as it was asked for"
call GET /cluster/backup-info/not-backed-up
printf '%s\n' "$answer" | items | grep -qE "\"vmid\":\"?$VMID[,}\"]" || die "VM $VMID is in a backup job"
end_phase verify

call POST "/nodes/$NODE/qemu/$VMID/status/start"
finish_task
call GET "/nodes/$NODE/qemu/$VMID/status/current"
case $answer in *'"status":"running"'*) ;; *) die "VM $VMID does not run: $answer" ;; esac
end_phase start

until api POST "/nodes/$NODE/qemu/$VMID/agent/ping" >/dev/null 2>&1; do pause "the guest agent"; done
until guest cat /proc/sys/kernel/random/boot_id; do pause "the boot id"; done
boot_id=${out%"$newline"}
end_phase agent
call GET "/nodes/$NODE/qemu/$VMID/agent/get-time"
call GET "/nodes/$NODE/time"

# Nothing answers from inside, neither a connection nor by its MAC address. In the guest's shell.
# shellcheck disable=SC2016,SC2086
until guest bash -c 'limit=$((SECONDS + 20))
  for target; do until ip route get "${target%/*}" >/dev/null 2>&1 || [ $SECONDS -ge $limit ]; do sleep 0.3; done; done
  until { [ -n "$(ip -o -6 address show up scope link)" ] && [ -z "$(ip -o -6 address show tentative)" ]; } || [ $SECONDS -ge $limit ]; do sleep 0.3; done
  for target; do
    { text=$(timeout 3 bash -c "exec 3<>/dev/tcp/$target" 2>&1) && echo "answer of $target"
      case $text in *refused*) echo "answer of $target" ;; esac; } &
  done
  ping -6 -n -w 3 "ff02::1%$(ip -o route show default | sed "s/.* dev //; s/ .*//")" | grep DUP &
  wait
  for target; do ip neigh show "${target%/*}"; done
  echo end' probe $ISOLATED; do pause "the probes"; done
case $out in *answer* | *DUP* | *lladdr*) die "VM $VMID has a way out: $out" ;; esac
case $out in *end*) ;; *) die "the probes did not run to their end: $out" ;; esac
end_phase isolation

# shellcheck source=/dev/null
. "$checks"
check_containers
end_phase checks

call POST "/nodes/$NODE/qemu/$VMID/status/stop"
finish_task
call DELETE "/nodes/$NODE/qemu/$VMID" destroy-unreferenced-disks=1
finish_task
end_phase remove
