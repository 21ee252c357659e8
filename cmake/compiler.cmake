# SPDX-License-Identifier: MIT
# How every file of ours is compiled: rs_compiler_options, linked by each target of the project.

add_library(rs_compiler_options INTERFACE)
target_compile_definitions(rs_compiler_options INTERFACE _GNU_SOURCE)
target_compile_options(rs_compiler_options INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wold-style-definition -Wwrite-strings -Wformat=2 -Wno-format-nonliteral -Wundef -Wvla -Wimplicit-fallthrough
    $<$<BOOL:${RS_WERROR}>:-Werror>)

if(RS_SANITIZE STREQUAL "address")
    set(RS_SANITIZE_OPTIONS -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(RS_SANITIZE STREQUAL "thread")
    set(RS_SANITIZE_OPTIONS -fsanitize=thread)
elseif(NOT RS_SANITIZE STREQUAL "")
    message(FATAL_ERROR "RS_SANITIZE is '${RS_SANITIZE}': address, thread or nothing")
endif()
if(RS_SANITIZE)
    target_compile_options(rs_compiler_options INTERFACE
        ${RS_SANITIZE_OPTIONS} -fno-omit-frame-pointer)
    target_link_options(rs_compiler_options INTERFACE ${RS_SANITIZE_OPTIONS})
    if(RS_SANITIZE STREQUAL "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        # Says that fences are not modelled. We know: base/tsan.h is there for that.
        target_compile_options(rs_compiler_options INTERFACE -Wno-tsan)
    endif()
endif()

if(RS_BUILD_FUZZERS)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "RS_BUILD_FUZZERS needs clang: set CMAKE_C_COMPILER=clang")
    endif()
    target_compile_options(rs_compiler_options INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(rs_compiler_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
