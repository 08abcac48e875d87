# fstat of OpenBSD, as far as netinspect asks it; see freebsd-netstat.sh.
while getopts :fnosvM:N:p:u: flag; do
    case $flag in
    \? | :)
        echo "fstat: unknown option -- $OPTARG" >&2
        echo "usage: fstat [-fnosv] [-M core] [-N system] [-p pid] [-u user] [file ...]" >&2
        exit 1
        ;;
    esac
done
exec cat "$answers/fstat"
