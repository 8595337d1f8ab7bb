# lossd_library(NAME SOURCES ... DEPS ...)
#
# A folder of ours as a static library `lossd_NAME`, with the alias lossd::NAME.
# DEPS are linked publicly: they are the folders whose headers this one may include.
function(lossd_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  set(target lossd_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  target_link_libraries(${target} PUBLIC lossd_options ${ARG_DEPS})
  add_library(lossd::${name} ALIAS ${target})
endfunction()

# lossd_annotate(NAME)
#
# An executable is linked with tests/tsan where the preset has it.
function(lossd_annotate name)
  if(TARGET lossd_tsan)
    target_link_libraries(${name} PRIVATE lossd_tsan)
  endif()
endfunction()

# lossd_program(NAME SOURCES ... DEPS ...)
function(lossd_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE lossd_options ${ARG_DEPS})
  lossd_annotate(${name})
endfunction()

# lossd_tests(BINARY SOURCES ... DEPS ...)
#
# Adds test sources to one of the shared test binaries (tests/CMakeLists.txt):
# binaries that link gRPC are slow to link, so they are few.
function(lossd_tests binary)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  target_sources(${binary} PRIVATE ${ARG_SOURCES})
  target_link_libraries(${binary} PRIVATE ${ARG_DEPS})
endfunction()
