include(GNUInstallDirs)

# lossd_library(NAME SOURCES ... DEPS ...)
#
# Makes a folder a static library `lossd_NAME` with the alias lossd::NAME. It links DEPS
# publicly; they are the folders whose headers this one may include.
function(lossd_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  set(target lossd_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  target_link_libraries(${target} PUBLIC $<BUILD_INTERFACE:lossd_options> ${ARG_DEPS})
  # An installed library asks for the language, but not for our warnings.
  target_compile_features(${target} PUBLIC cxx_std_20)
  add_library(lossd::${name} ALIAS ${target})
endfunction()

# lossd_annotate(NAME)
#
# Links an executable with tests/tsan if the preset has the thread sanitizer.
function(lossd_annotate name)
  if(TARGET lossd_tsan)
    target_link_libraries(${name} PRIVATE lossd_tsan)
  endif()
endfunction()

# lossd_program(NAME SOURCES ... DEPS ...)
#
# Makes an executable.
function(lossd_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE lossd_options ${ARG_DEPS})
  lossd_annotate(${name})
endfunction()

# lossd_install_program(NAME ARGUMENT...)
#
# Installs a program, if it was built, with its shell completion where distributions look for
# it. `NAME ARGUMENT... SHELL` prints the script for a shell; ARGUMENT may end with =.
function(lossd_install_program name)
  set(folder ${CMAKE_BINARY_DIR}/completion/${name})
  set(scripts bash/${name} zsh/_${name} fish/${name}.fish)
  set(destinations bash-completion/completions zsh/site-functions fish/vendor_completions.d)
  install(TARGETS ${name}
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs OPTIONAL)
  foreach(script destination IN ZIP_LISTS scripts destinations)
    cmake_path(GET script PARENT_PATH shell)
    string(REGEX REPLACE "=;${shell}$" "=${shell}" arguments "${ARGN};${shell}")
    add_custom_command(TARGET ${name} POST_BUILD
      COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}/${shell}
      COMMAND ${name} ${arguments} > ${folder}/${script}
      VERBATIM)
    install(FILES ${folder}/${script} DESTINATION ${CMAKE_INSTALL_DATADIR}/${destination}
      COMPONENT programs OPTIONAL)
  endforeach()
endfunction()

# lossd_tests(BINARY SOURCES ... DEPS ...)
#
# Adds test sources to one of the shared test binaries (tests/CMakeLists.txt). Those are
# few, because a binary with gRPC is slow to link.
function(lossd_tests binary)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  target_sources(${binary} PRIVATE ${ARG_SOURCES})
  target_link_libraries(${binary} PRIVATE ${ARG_DEPS})
endfunction()
