# SPDX-License-Identifier: MIT
# Sourced: what run.sh and guest.sh share. The present directory has a copy of the sources, and
# another one in pristine/. They say where their patches are ($patches), and define
#
#	rebuild NAME	build what a patch has changed, or was, and what its test needs
#	try NAME	run its test, more than once if need be; what it said is in the file output
#
# A patch begins with what it is about, and then "Says: PATTERN" for each thing that the test that
# notices must say. One with "Like: NAME" shows little that the other does not: it is left to long runs.

failures=0

fail()
{
    echo "$1"
    failures=$((failures + 1))
}

# need TOOL...
need()
{
    for tool; do
        command -v "$tool" >/dev/null 2>&1 || { echo "SKIP: there is no $tool here"; exit 77; }
    done
}

# all_names: of the patches that this run is about.
all_names()
{
    for patch in "$patches"/*.patch; do
        if [ -n "${RS_TEST_LONG:-}" ] || ! grep -q '^Like: ' "$patch"; then
            basename "$patch" .patch
        fi
    done
}

# say NAME FIELD: the lines of that field above the patch.
say()
{
    sed -n "s/^$2: //p" "$patches/$1.patch"
}

patched_files()
{
    sed -n 's,^+++ b/\([^[:space:]]*\).*,\1,p' "$patches/$1.patch"
}

# said NAME: what the test said of all that it must say; fails if something is missing.
said()
{
    say "$1" Says | while IFS= read -r pattern; do
        grep -m 1 -e "$pattern" output || exit 1
    done
}

judge()
{
    try "$1" && code=0 || code=$?
    if [ "$code" -eq 0 ]; then
        fail "$1: the test did not notice"
    elif words=$(said "$1") && [ -n "$words" ]; then
        printf '%s\n' "$words" | sed "s/^/$1: noticed: /"
    else
        fail "$1: the test ended with $code, and not for this"
        cat output
    fi
}

mutate()
{
    if ! patch -p1 -s -f <"$patches/$1.patch" >output 2>&1; then
        fail "$1: the patch does not apply any more"
        cat output
    elif ! rebuild "$1" >output 2>&1; then
        fail "$1: it does not compile any more"
        cat output
    else
        judge "$1"
    fi
    for file in $(patched_files "$1"); do
        cp "pristine/$file" "$file"
    done
}

# mutate_all NAME...
mutate_all()
{
    for name; do
        mutate "$name"
    done
    [ "$failures" -eq 0 ] || { echo "$failures of $# mutations were not noticed"; exit 1; }
}
