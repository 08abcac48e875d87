# netstat of NetBSD, as far as netinspect asks it; see freebsd-netstat.sh. -p prints statistics.
flags=
while getopts :AabBdf:ghI:LliM:mN:nP:p:qrsStTuVvw:X flag; do
    case $flag in
    \? | :)
        echo "netstat: unknown option -- $OPTARG" >&2
        echo "usage: netstat [-Aan] [-f address_family[,family ...]] [-M core] [-N system]" >&2
        exit 1
        ;;
    esac
    flags=$flags$flag
done
case $flags in
*[psrigmPq]*) exit 0 ;; # other questions than all sockets
*a*n*v* | *a*v*n* | *n*a*v* | *n*v*a* | *v*a*n* | *v*n*a*) exec cat "$answers/netstat-wide" ;;
*a*n* | *n*a*) exec cat "$answers/netstat-text" ;;
esac
echo "netstat: this is a fake: -a and -n are needed" >&2
exit 70
