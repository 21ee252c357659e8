# SPDX-License-Identifier: MIT
# What users get: library, headers, ramsync.pc, find_package(ramsync). The programs and man pages are
# installed where they are made. All of it may be moved as a whole.
include(CMakePackageConfigHelpers)

set(RS_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/ramsync)
set(RS_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH RS_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" RS_PC_PREFIX "${RS_PC_PREFIX}")

foreach(directory LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${directory}}")
        message(FATAL_ERROR "CMAKE_INSTALL_${directory} must be relative to the prefix")
    endif()
endforeach()

set(RS_PC_LIBDEFLATE "")
if(RS_HAVE_LIBDEFLATE)
    set(RS_PC_LIBDEFLATE ", libdeflate")
endif()
configure_file(cmake/ramsync.pc.in ramsync.pc @ONLY)
configure_package_config_file(cmake/ramsync-config.cmake.in ramsync-config.cmake
    INSTALL_DESTINATION ${RS_CMAKE_DIR})
# Before 1.0 a minor version may break things.
write_basic_package_version_file(ramsync-config-version.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS ramsync EXPORT ramsync-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/ramsync DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")
install(EXPORT ramsync-targets NAMESPACE ramsync:: DESTINATION ${RS_CMAKE_DIR})
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/ramsync-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/ramsync-config-version.cmake
    DESTINATION ${RS_CMAKE_DIR})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/ramsync.pc DESTINATION ${RS_PC_DIR})
