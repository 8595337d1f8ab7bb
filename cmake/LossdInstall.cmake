# `cmake --install` installs the C++ client as a CMake package: find_package(lossd) defines
# lossd::client. Headers lie below include/lossd, which is on the target's include path, so
# that they are included as in this tree: "client/cpp/client.h", "lossd/v1/loss_service.pb.h".
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lossd)
set(header_dir ${CMAKE_INSTALL_INCLUDEDIR}/lossd)

# Installs a library of ours and its headers once, and before it those that it links.
function(lossd_install name)
  get_target_property(export_name lossd_${name} EXPORT_NAME)
  if(export_name)
    return()
  endif()
  get_target_property(links lossd_${name} INTERFACE_LINK_LIBRARIES)
  foreach(link IN LISTS links)
    if(link MATCHES "^lossd::(.+)$")
      lossd_install(${CMAKE_MATCH_1})
    endif()
  endforeach()
  set_target_properties(lossd_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(lossd_${name} INTERFACE $<INSTALL_INTERFACE:${header_dir}>)
  install(TARGETS lossd_${name} EXPORT lossdTargets)
  get_target_property(folder lossd_${name} SOURCE_DIR)
  file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR} ${folder})
  file(GLOB headers CONFIGURE_DEPENDS ${folder}/*.h)
  install(FILES ${headers} DESTINATION ${header_dir}/${path})
endfunction()

lossd_install(client)
install(EXPORT lossdTargets NAMESPACE lossd:: DESTINATION ${package_dir})
install(DIRECTORY ${CMAKE_BINARY_DIR}/proto/lossd DESTINATION ${header_dir}
  FILES_MATCHING PATTERN "*.pb.h")

write_basic_package_version_file(${CMAKE_BINARY_DIR}/lossdConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES cmake/lossdConfig.cmake ${CMAKE_BINARY_DIR}/lossdConfigVersion.cmake
  DESTINATION ${package_dir})
