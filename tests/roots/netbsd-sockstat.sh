# sockstat of NetBSD, as far as netinspect asks it; see freebsd-netstat.sh.
while getopts :46cf:lnp:u flag; do
    case $flag in
    \? | :)
        echo "sockstat: unknown option -- $OPTARG" >&2
        exit 1
        ;;
    esac
done
exec cat "$answers/sockstat"
