# `cpack` in a build of the preset `portable` makes a .deb of the programs. ./dev wheel calls it
# after it has put the list of contents (SBOM) and the licences into build/wheel.
include(GNUInstallDirs)

set(documents ${CMAKE_INSTALL_DATADIR}/doc/lossd)
set(gathered ${CMAKE_SOURCE_DIR}/build/wheel)
set(debian ${CMAKE_SOURCE_DIR}/deploy/debian)

install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/lossd.service
  DESTINATION lib/systemd/system COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${debian}/lossd.flags
  DESTINATION /etc/lossd COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${debian}/sysusers.conf
  DESTINATION lib/sysusers.d RENAME lossd.conf COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${debian}/lintian-overrides
  DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides RENAME lossd
  COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${debian}/copyright ${gathered}/sboms/lossd.cdx.json
  DESTINATION ${documents} COMPONENT debian EXCLUDE_FROM_ALL)
install(DIRECTORY ${gathered}/licenses
  DESTINATION ${documents} COMPONENT debian EXCLUDE_FROM_ALL)

# Debian wants a changelog of the package, compressed.
set(changelog ${CMAKE_BINARY_DIR}/changelog.Debian)
configure_file(${debian}/changelog.in ${changelog} @ONLY)
execute_process(COMMAND gzip -9nf ${changelog} COMMAND_ERROR_IS_FATAL ANY)
install(FILES ${changelog}.gz DESTINATION ${documents} COMPONENT debian EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL programs debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_SET_DESTDIR ON)  # a file goes to /etc
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_CONTACT "lossd maintainers <lossd@packages.debian.org>")
set(CPACK_DEBIAN_PACKAGE_NAME lossd)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The postinst calls the first two; dh_installsysusers and dh_installsystemd ask for these too. The
# unit's ExecReload is the kill of procps.
set(CPACK_DEBIAN_PACKAGE_DEPENDS
  "init-system-helpers (>= 1.54~), procps, systemd | systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "sigmoid losses and their gradients as a gRPC service
lossd computes sigmoid losses (cross-entropy, focal, asymmetric and others)
and their gradients for training workers, with the same bits whichever
machine computes them. This package has the server, its tool lossctl and
its load generator lossbench. They contain their libraries and need glibc
alone.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${debian}/conffiles ${debian}/postinst ${debian}/prerm ${debian}/postrm)
include(CPack)
