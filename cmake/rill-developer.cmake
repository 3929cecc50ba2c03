# What only rill's own tests, benchmarks and examples get: warnings as errors, sanitizers, precompiled headers, and the
# means to build the examples, which are projects of their own, inside this one.

# rill_developer_target(<target>): the flags for a target of ours.
function(rill_developer_target target)
  if(RILL_DEVELOPER AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${target} PRIVATE
      -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
  endif()
  rill_sanitized_target(${target})
endfunction()

# rill_sanitized_target(<target>): the sanitizers of RILL_SANITIZE.
function(rill_sanitized_target target)
  if(RILL_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${RILL_SANITIZE} -fno-omit-frame-pointer
      -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${RILL_SANITIZE})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND RILL_SANITIZE MATCHES "thread")
      target_compile_options(${target} PRIVATE -Wno-tsan)
    endif()
  endif()
endfunction()

# rill_add_examples(): every examples/<name>. Each calls find_package(rill), which finds the targets of this build.
function(rill_add_examples)
  file(WRITE "${CMAKE_FIND_PACKAGE_REDIRECTS_DIR}/rill-config.cmake" "\
set(rill_FOUND TRUE)
foreach(component IN LISTS rill_FIND_COMPONENTS)
  if(TARGET rill::\${component})
    set(rill_\${component}_FOUND TRUE)
  elseif(rill_FIND_REQUIRED_\${component})
    set(rill_FOUND FALSE)
    set(rill_NOT_FOUND_MESSAGE \"this build has no rill::\${component}\")
  endif()
endforeach()
")
  file(WRITE "${CMAKE_FIND_PACKAGE_REDIRECTS_DIR}/rill-config-version.cmake" "\
set(PACKAGE_VERSION ${PROJECT_VERSION})
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
")
  file(GLOB lists CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/*/CMakeLists.txt")
  foreach(list IN LISTS lists)
    get_filename_component(dir "${list}" DIRECTORY)
    get_filename_component(name "${dir}" NAME)
    add_subdirectory("${dir}" "${PROJECT_BINARY_DIR}/examples/${name}")
    get_property(targets DIRECTORY "${dir}" PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target IN LISTS targets)
      get_target_property(type ${target} TYPE)
      get_target_property(sources ${target} SOURCES)
      if(type MATCHES "EXECUTABLE|LIBRARY" AND NOT type STREQUAL "INTERFACE_LIBRARY")
        if(sources MATCHES "\\.pb\\.cc")
          rill_sanitized_target(${target})
        else()
          rill_developer_target(${target})
        endif()
      endif()
    endforeach()
  endforeach()
endfunction()
