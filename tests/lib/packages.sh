# SPDX-License-Identifier: MIT
# Sourced: need_* note what is missing, install_missing gets it. For Debian and Ubuntu.
#
#	need_program NAME PACKAGE	a program in PATH
#	need_library NAME PACKAGE	a library that pkg-config knows
#	need_package PACKAGE FILE	a package that has no program of its own
#	install_missing			as root through apt-get; otherwise says what to do and exits 1

missing_packages=

need_package()
{
    [ -e "$2" ] || missing_packages="$missing_packages $1"
}

need_program()
{
    command -v "$1" >/dev/null 2>&1 || missing_packages="$missing_packages $2"
}

need_library()
{
    pkg-config --exists "$1" 2>/dev/null || missing_packages="$missing_packages $2"
}

install_missing()
{
    [ -n "$missing_packages" ] || return 0
    packages=$(printf '%s\n' $missing_packages | sort -u | tr '\n' ' ')
    packages=${packages% }
    missing_packages=
    command="apt-get update && apt-get install -y --no-install-recommends $packages"
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "Missing, by their Debian names: $packages" >&2
        echo "There is no apt-get here: please install what this system calls them." >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "Missing packages. Please run:" >&2
        echo "    sudo sh -c '$command'" >&2
        exit 1
    fi
    echo "Installing: $packages"
    export DEBIAN_FRONTEND=noninteractive
    # A machine that has just started may still hold apt's lock.
    apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update </dev/null
    apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        install -y --no-install-recommends $packages </dev/null
}
