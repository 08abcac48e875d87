# netstat of OpenBSD, as far as netinspect asks it; see freebsd-netstat.sh. -W takes an argument.
flags=
while getopts :AaBbc:deFf:ghI:iLlM:mN:np:P:qRrsT:uvW:w: flag; do
    case $flag in
    \? | : | L)
        echo "netstat: unknown option -- ${OPTARG:-$flag}" >&2
        echo "usage: netstat [-AaBln] [-M core] [-N system] [-p protocol] [-T rtable]" >&2
        exit 1
        ;;
    esac
    flags=$flags$flag
done
case $flags in
*[lsrigmpP]*) exit 0 ;; # other questions than all sockets
*a*n*v* | *a*v*n* | *n*a*v* | *n*v*a* | *v*a*n* | *v*n*a*) exec cat "$answers/netstat-wide" ;;
*a*n* | *n*a*) exec cat "$answers/netstat-text" ;;
esac
echo "netstat: this is a fake: -a and -n are needed" >&2
exit 70
