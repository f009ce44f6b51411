#!/bin/sh
# Print the Python that the lock was resolved for, or say on standard error what is missing and fail.
wanted=3.11
for python in "python$wanted" python3 python; do
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if [ "$found" = "$wanted" ]; then
        command -v "$python"
        exit 0
    fi
done
echo "error: no Python $wanted found (the first python3 is ${found:-missing}); requirements.lock is for $wanted:" \
    "install it, with its venv module, and put python$wanted on PATH" >&2
exit 1
