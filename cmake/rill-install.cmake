# Install rules: the headers, the CMake package and rill.pc. One export set a component, so that a program which asks
# for the toolkit alone never needs gRPC.
include(CMakePackageConfigHelpers)

set(rill_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/rill")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp")

# Every component is installed, whether or not this machine has what it needs: the package looks for it when used.
foreach(component IN ITEMS coro rill asio)
  if(NOT TARGET rill_${component})
    add_library(rill_${component} INTERFACE)
    set_target_properties(rill_${component} PROPERTIES EXPORT_NAME ${component})
    if(component STREQUAL "rill")
      target_link_libraries(rill_rill INTERFACE rill_coro gRPC::grpc++ protobuf::libprotobuf)
    else()
      target_link_libraries(rill_asio INTERFACE rill_coro rill::standalone_asio)
    endif()
  endif()
  install(TARGETS rill_${component} EXPORT rill-${component}-targets)
  install(EXPORT rill-${component}-targets NAMESPACE rill:: DESTINATION "${rill_package_dir}")
endforeach()

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/rill-config.cmake.in"
  "${PROJECT_BINARY_DIR}/rill-config.cmake" INSTALL_DESTINATION "${rill_package_dir}"
  NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/rill-config-version.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
configure_file("${PROJECT_SOURCE_DIR}/cmake/rill.pc.in" "${PROJECT_BINARY_DIR}/rill.pc" @ONLY)

install(FILES
  "${PROJECT_BINARY_DIR}/rill-config.cmake"
  "${PROJECT_BINARY_DIR}/rill-config-version.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/rill-dependencies.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/rill-protos.cmake"
  DESTINATION "${rill_package_dir}")
install(FILES "${PROJECT_BINARY_DIR}/rill.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
