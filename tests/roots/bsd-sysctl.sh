# sysctl of the BSDs, as far as netinspect asks it: the lines of its names in $answers/sysctl.
status=0
for name; do
    grep -E "^$name( ?=|:)" "$answers/sysctl" || {
        echo "sysctl: unknown oid '$name'" >&2
        status=1
    }
done
exit $status
