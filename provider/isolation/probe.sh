# What answers a guest on its network, asked from inside by what every Debian has: bash, coreutils, iproute2.
#
#   bash -c "$(cat probe.sh)" probe WAIT_SECONDS LIMIT_SECONDS ADDRESS/PORT…
#
# Waits up to WAIT_SECONDS until the guest can send to every address and has its link-local ones, or has booted and can send at
# all, then asks all of them side by side, each for at most LIMIT_SECONDS. Changes nothing. Prints, a line each, in any order but for the last:
#
#   missing PROGRAM                        and nothing else: no probe can be made
#   tcp TARGET ADDRESS CODE TEXT           one TCP connection; CODE is that of timeout or bash, TEXT what bash said
#   neighbour TARGET ADDRESS MAC           the address, or the gateway, has answered on layer 2
#   own-gateway ADDRESS                    a default gateway that this guest has, asked beside the given addresses
#   everyone-asked INTERFACE               IPv6's all-nodes address was asked there, and the guest heard its own answer
#   everyone INTERFACE ADDRESS             somebody else answered there
#   lacks ping                             nobody could be asked by all-nodes
#   end                                    all was asked
#
# TARGET is the position of ADDRESS/PORT from 0 on, or "own" for the guest's own gateways.
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
for program in ip timeout; do
  command -v "$program" >/dev/null || { echo "missing $program"; exit 0; }
done
wait_seconds=$1 limit=$2
shift 2

# Interfaces that lead out of the guest: no container's, no bridge without a card in it, and none without a cable.
wires() {
  local dev flags
  ip -o link show up | while read -r _ dev flags _; do
    dev=${dev%:} dev=${dev%@*}
    case $dev in lo | veth*) continue ;; esac
    case $flags in *NO-CARRIER*) continue ;; esac
    if [ -d "/sys/class/net/$dev/bridge" ]; then
      compgen -G "/sys/class/net/$dev/lower_*/device" >/dev/null || continue
    fi
    echo "$dev"
  done
}

# Whether the guest has booted, as far as systemd tells.
booted() {
  case $(systemctl is-system-running 2>/dev/null) in running | degraded) ;; *) return 1 ;; esac
}

# Whether no own address is still being tried for a double. To be asked last: an address that comes later is seen by no other look.
settled() {
  [ -z "$(ip -o -6 address show tentative)" ]
}

# Whether there is a wire, and each has its link-local address, which Linux makes up to 2 s after the wire is up: after an IPv4
# address from a file. A wire without IPv6 gets none, nor does one that is no Ethernet, or part of a bond or a bridge.
linked() {
  local dev found=1
  for dev in $(wires); do
    found=0
    [ "$(cat "/sys/class/net/$dev/type")" = 1 ] && [ ! -e "/sys/class/net/$dev/master" ] || continue
    [ "$(cat "/proc/sys/net/ipv6/conf/$dev/disable_ipv6" 2>/dev/null || echo 1)" = 0 ] || continue
    [ -n "$(ip -o -6 address show dev "$dev" scope link)" ] || return 1
  done
  return "$found"
}

# Whether there is a way to every address.
ready() {
  local target
  linked || return 1
  for target; do
    case $target in
    fe80:*) ;;
    *) ip route get "${target%/*}" >/dev/null 2>&1 || return 1 ;;
    esac
  done
  settled
}

# Whether a wire has an address from which something can be asked: a link-local one, or any with a way to one of the addresses.
# A guest that waits in vain for DHCP has the former; one whose network is not up yet has none.
can_send() {
  local dev target
  for dev in $(wires); do
    [ -z "$(ip -o -6 address show dev "$dev" scope link)" ] || return 0
  done
  for target; do
    case $target in
    fe80:*) ;;
    *) ! ip route get "${target%/*}" >/dev/null 2>&1 || return 0 ;;
    esac
  done
  return 1
}

# Whether nothing more is to be waited for: a guest that has booted gets a link-local address at once or never.
as_ready_as_ever() {
  booted && can_send "$@" && { linked || [ "$SECONDS" -ge 5 ]; } && settled
}

until ready "$@" || [ "$SECONDS" -ge "$wait_seconds" ] || as_ready_as_ever "$@"; do sleep 0.3; done
wires=$(wires)

# tcp TARGET ADDRESS PORT
tcp() {
  local text code
  # The variables are the inner shell's.
  # shellcheck disable=SC2016
  text=$(timeout "$limit" bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$2" "$3" 2>&1 </dev/null)
  code=$?
  echo "tcp $1 $2 $code ${text//$'\n'/; }"
}

# neighbour TARGET ADDRESS: entries that somebody made by hand are none.
neighbour() {
  local words
  ip -o neigh show "${2%\%*}" | while read -r -a words; do
    [[ " ${words[*]} " =~ \ lladdr\ ([0-9a-f:]+)\  ]] || continue
    case ${words[-1]} in PERMANENT | NOARP | FAILED) ;; *) echo "neighbour $1 ${2%\%*} ${BASH_REMATCH[1]}" ;; esac
  done
}

# Default gateways, a link-local one with its interface.
own_gateways() {
  local word previous='' via=''
  for word in $({ ip -o -4 route show default; ip -o -6 route show default; } 2>/dev/null); do
    case $previous in
    via | inet6) [ "$word" = inet6 ] || via=$word ;;
    dev)
      case $via in fe80:*) echo "$via%$word" ;; ?*) echo "$via" ;; esac
      via=''
      ;;
    esac
    previous=$word
  done | sort -u
}

# everyone INTERFACE
everyone() {
  local own line address
  own=$(ip -o -6 address show dev "$1" scope link -tentative)
  [ -n "$own" ] || return 0
  timeout $((limit + 1)) ping -6 -n -w "$limit" "ff02::1%$1" 2>/dev/null </dev/null | while read -r line; do
    [[ $line =~ from\ ([0-9a-f:]*[0-9a-f]) ]] || continue
    address=${BASH_REMATCH[1]}
    case $own in *" $address/"*) echo "everyone-asked $1" ;; *) echo "everyone $1 $address" ;; esac
  done | sort -u
}

index=0 asked=()
for target; do
  address=${target%/*} port=${target##*/}
  case $address in
  fe80:*) for dev in $wires; do tcp "$index" "$address%$dev" "$port" & done ;;
  *) tcp "$index" "$address" "$port" & ;;
  esac
  asked+=("$index $address")
  index=$((index + 1))
done
for gateway in $(own_gateways); do
  case " $* " in *" ${gateway%\%*}/"*) continue ;; esac
  echo "own-gateway $gateway"
  tcp own "$gateway" 53 &
  asked+=("own $gateway")
done
if command -v ping >/dev/null; then
  for dev in $wires; do everyone "$dev" & done
else
  echo "lacks ping"
fi
wait
for entry in "${asked[@]}"; do neighbour "${entry%% *}" "${entry#* }"; done
echo end
