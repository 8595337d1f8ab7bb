# With LOSSD_STATIC the programs contain every library but glibc, so that one file of each runs
# wherever glibc is new enough. LossdDependencies finds shared libraries; here archives take their
# places. Headers stay the same, so objects are those of the preset `release`.
if(NOT LLD)
  message(FATAL_ERROR "LOSSD_STATIC needs lld, to which the order of archives is all the same")
endif()
set(CMAKE_SKIP_RPATH ON)  # CMake takes some of the archives for shared libraries
# The linker writes the files that it reads to PROGRAM.d, from which tools/packages makes the list
# of what is inside.
add_link_options(-static-libstdc++ -static-libgcc LINKER:--gc-sections
  LINKER:--dependency-file=$<TARGET_PROPERTY:NAME>.d)

# Sets `out` to the archive of a shared library: that of tools/packages/static_libraries.sh, or the
# one beside it. Parts of glibc and what is no library stay as they are.
function(lossd_archive_of library out)
  set(${out} "${library}" PARENT_SCOPE)
  if(library STREQUAL "-lre2")
    set(${out} -l:libre2.a PARENT_SCOPE)  # gRPC names this one alone without its path
  elseif(library MATCHES "/(lib[^/]+)\\.so[.0-9]*$")
    file(GLOB archives ${CMAKE_SOURCE_DIR}/build/static/*/lib/${CMAKE_MATCH_1}.a)
    cmake_path(GET library PARENT_PATH folder)
    list(APPEND archives ${folder}/${CMAKE_MATCH_1}.a)
    list(GET archives 0 archive)
    if(EXISTS ${archive})
      set(${out} ${archive} PARENT_SCOPE)
    endif()
  endif()
endfunction()

function(lossd_link_archives target)
  get_target_property(configurations ${target} IMPORTED_CONFIGURATIONS)
  set(properties INTERFACE_LINK_LIBRARIES IMPORTED_LOCATION)
  foreach(configuration IN LISTS configurations)
    list(APPEND properties IMPORTED_LOCATION_${configuration})
  endforeach()
  foreach(property IN LISTS properties)
    get_target_property(libraries ${target} ${property})
    set(archives "")
    foreach(library IN LISTS libraries)
      lossd_archive_of("${library}" archive)
      list(APPEND archives "${archive}")
    endforeach()
    if(libraries)
      set_property(TARGET ${target} PROPERTY ${property} "${archives}")
    endif()
  endforeach()
endfunction()

get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
foreach(target IN LISTS targets)
  get_target_property(type ${target} TYPE)
  if(NOT type STREQUAL EXECUTABLE)
    lossd_link_archives(${target})
  endif()
endforeach()
