# netstat of FreeBSD, as far as netinspect asks it. Its option string is that of FreeBSD 15; a wrong
# option ends as there. Whoever reads this has set $answers.
style=text
if [ "$1" = --libxo ]; then
    style=$2
    shift 2
fi
flags=
while getopts :46AaBbCcdF:f:ghI:ij:LlM:mN:nOoPp:Qq:RrSTsuWw:xz flag; do
    case $flag in
    \? | :)
        echo "netstat: illegal option -- $OPTARG" >&2
        echo "usage: netstat [-j jail] [-46AaCcLnPRSTWx] [-f protocol_family | -p protocol]" >&2
        exit 1
        ;;
    esac
    flags=$flags$flag
done
case $flags in
*a*n* | *n*a*) ;;
*) # without -a no listeners, without -n names
    echo "netstat: this is a fake: -a and -n are needed" >&2
    exit 70
    ;;
esac
case $style,$flags in
*,*L*) exec cat "$answers/netstat-queues" ;;
json,*W*) exec cat "$answers/netstat-json" ;;
text,*W*) exec cat "$answers/netstat-wide" ;;
*) exec cat "$answers/netstat-text" ;;
esac
