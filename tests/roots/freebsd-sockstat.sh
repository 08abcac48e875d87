# sockstat of FreeBSD, as far as netinspect asks it; see freebsd-netstat.sh.
flags=
while getopts :46Ccij:Llnp:P:qSsUuvw flag; do
    case $flag in
    \? | :)
        echo "sockstat: illegal option -- $OPTARG" >&2
        echo "usage: sockstat [-46CciLlnqSsUuvw] [-j jid] [-p ports] [-P protocols]" >&2
        exit 1
        ;;
    esac
    flags=$flags$flag
done
case $flags in
*w*) exec cat "$answers/sockstat" ;;
*)
    echo "sockstat: this is a fake: -w is needed" >&2
    exit 70
    ;;
esac
