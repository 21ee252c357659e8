# SPDX-License-Identifier: MIT
# Man pages: section 3 from the headers, section 1 from what the programs say with --help.
if(NOT Python3_Interpreter_FOUND)
    message(WARNING "No python3: the man pages are left out")
    return()
endif()

set(RS_MAN_DIR ${PROJECT_BINARY_DIR}/man)
set(apidoc ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/apidoc)
file(GLOB headers CONFIGURE_DEPENDS include/ramsync/*.h)
file(GLOB apidoc_sources CONFIGURE_DEPENDS cmake/apidoc/*.py)

add_custom_command(
    OUTPUT ${RS_MAN_DIR}/man3/ramsync.3
    COMMAND ${apidoc} man ${RS_MAN_DIR}/man3
    DEPENDS ${apidoc_sources} ${headers}
    COMMENT "Man pages of the library")
set(pages ${RS_MAN_DIR}/man3/ramsync.3)

# A program for another machine cannot be asked for its help here.
if(NOT CMAKE_CROSSCOMPILING)
    foreach(program IN LISTS RS_PROGRAMS)
        set(page ${RS_MAN_DIR}/man1/${program}.1)
        add_custom_command(
            OUTPUT ${page}
            COMMAND ${apidoc} program ${page} $<TARGET_FILE:${program}>
            DEPENDS ${apidoc_sources} ${program}
            COMMENT "Man page of ${program}")
        list(APPEND pages ${page})
    endforeach()
endif()

add_custom_target(man ALL DEPENDS ${pages})
install(DIRECTORY ${RS_MAN_DIR}/ DESTINATION ${CMAKE_INSTALL_MANDIR})
