# SPDX-License-Identifier: MIT
# Sourced by tests/run.sh, which sets source, build, quick and lint.

need_everything()
{
    need_program cmake cmake
    need_program ninja ninja-build
    need_program pkg-config pkg-config
    need_program gcc gcc
    need_program g++ g++
    need_program python3 python3
    need_program patch patch
    need_package libc6-dev /usr/include/stdio.h
    need_library liburcu-bp liburcu-dev
    need_library zlib zlib1g-dev
    # It can do without; both are tested.
    need_library libdeflate libdeflate-dev
    need_package libcmocka-dev /usr/include/cmocka.h
    if [ -z "$quick" ]; then
        need_program clang clang
        # The names of functions in what the sanitizers report.
        need_program llvm-symbolizer llvm
        need_program aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
        need_program s390x-linux-gnu-gcc gcc-s390x-linux-gnu
        need_cross_libc aarch64 arm64
        need_cross_libc s390x s390x
        need_program spin spin
        need_program qemu-s390x-static qemu-user-static
        need_program qemu-system-x86_64 qemu-system-x86
    fi
    if [ -n "$lint" ]; then
        need_program clang-tidy clang-tidy
        need_program cppcheck cppcheck
    fi
    install_missing
    if [ -z "$quick" ]; then
        need_clang_runtime
        install_missing
    fi
}

# need_cross_libc MACHINE DEBIAN_ARCHITECTURE: nothing to get for the machine that we are.
need_cross_libc()
{
    [ "$(uname -m)" = "$1" ] || need_package "libc6-dev-$2-cross" "/usr/$1-linux-gnu/include/stdio.h"
}

# The sanitizers' libraries are a package of their own in some releases, named after the version.
need_clang_runtime()
{
    echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }' \
        >"$build/probe.c"
    if ! clang -fsanitize=fuzzer,address,undefined "$build/probe.c" -o "$build/probe" \
        2>"$build/probe.log"; then
        version=$(clang -dumpversion | cut -d. -f1)
        missing_packages="$missing_packages libclang-rt-$version-dev"
    fi
    rm -f "$build/probe" "$build/probe.c"
}

# configure NAME COMPILER OPTIONS...
configure()
{
    name=$1
    compiler=$2
    shift 2
    # What the fuzzers have kept is replayed in the plain tree if there is no other.
    replay=ON
    if [ -z "$quick" ] && [ -z "${RS_TEST_LONG:-}" ]; then
        replay=OFF
    fi
    echo "== Configuring $name"
    cmake -S "$source" -B "$build/$name" -G Ninja -DCMAKE_C_COMPILER="$compiler" \
        -DRS_WERROR=ON -DRS_TEST_PREFIX="$name/" -DRS_TEST_REPLAY="$replay" "$@"
}

# The sanitizers of older compilers do not start where the kernel randomises addresses in more than
# 28 bits.
without_aslr_if_needed()
{
    bits=$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)
    if [ "$bits" -gt 28 ] && setarch "$(uname -m)" -R true 2>/dev/null; then
        setarch "$(uname -m)" -R "$@"
    else
        "$@"
    fi
}
