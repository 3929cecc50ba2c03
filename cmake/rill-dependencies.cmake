# How rill finds gRPC, protobuf and Asio; used by rill's own build and, installed, by find_package(rill).
#
# gRPC comes from the first of: targets that the project already has, gRPC's own package (a source build, Conan, vcpkg,
# Debian 12), pkg-config (distributions that ship no CMake package).
include_guard(GLOBAL)

# rill_find_grpc([REQUIRED]): gRPC::grpc++ and protobuf::libprotobuf, or RILL_GRPC_NOT_FOUND_MESSAGE.
macro(rill_find_grpc)
  set(RILL_GRPC_NOT_FOUND_MESSAGE "")
  find_package(Threads QUIET)
  if(NOT TARGET gRPC::grpc++)
    # Configurations that were written for the find module and those that come with protobuf both name the target
    # protobuf::libprotobuf; gRPC's package expects it to be there.
    if(NOT TARGET protobuf::libprotobuf)
      find_package(protobuf CONFIG QUIET)
    endif()
    if(NOT TARGET protobuf::libprotobuf)
      find_package(Protobuf MODULE QUIET)
    endif()
    # gRPC's package for Debian prefers a find module of re2 that wants pkg-config; both are quiet when present.
    find_package(gRPC CONFIG QUIET)
  endif()
  if(NOT TARGET gRPC::grpc++)
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
      pkg_check_modules(RILL_GRPCPP QUIET IMPORTED_TARGET GLOBAL grpc++ grpc)
      if(TARGET PkgConfig::RILL_GRPCPP)
        add_library(gRPC::grpc++ INTERFACE IMPORTED GLOBAL)
        target_link_libraries(gRPC::grpc++ INTERFACE PkgConfig::RILL_GRPCPP)
      endif()
    endif()
  endif()
  if(NOT TARGET protobuf::libprotobuf)
    find_package(Protobuf MODULE QUIET)
  endif()
  if(NOT TARGET gRPC::grpc++)
    set(RILL_GRPC_NOT_FOUND_MESSAGE
      "gRPC for C++ was not found. On Debian and Ubuntu: apt-get install libgrpc++-dev protobuf-compiler-grpc")
  elseif(NOT TARGET protobuf::libprotobuf)
    set(RILL_GRPC_NOT_FOUND_MESSAGE
      "protobuf was not found. On Debian and Ubuntu: apt-get install libprotobuf-dev protobuf-compiler")
  endif()
  if(RILL_GRPC_NOT_FOUND_MESSAGE AND "${ARGV0}" STREQUAL "REQUIRED")
    message(FATAL_ERROR "rill: ${RILL_GRPC_NOT_FOUND_MESSAGE}. "
      "The coroutine toolkit alone needs neither: set RILL_WITH_GRPC=OFF, or find_package(rill COMPONENTS coro).")
  endif()
endmacro()

# rill_find_asio(): rill::standalone_asio, where Asio's headers are found. RILL_ASIO_INCLUDE_DIR names a copy of one's own.
macro(rill_find_asio)
  if(NOT TARGET rill::standalone_asio)
    set(RILL_ASIO_INCLUDE_DIR "" CACHE PATH "Folder that holds asio.hpp, when it is not on the usual paths")
    if(RILL_ASIO_INCLUDE_DIR AND NOT EXISTS "${RILL_ASIO_INCLUDE_DIR}/asio.hpp")
      message(FATAL_ERROR "rill: RILL_ASIO_INCLUDE_DIR is ${RILL_ASIO_INCLUDE_DIR}, which holds no asio.hpp")
    endif()
    set(_rill_asio_dir "${RILL_ASIO_INCLUDE_DIR}")
    if(NOT _rill_asio_dir AND NOT TARGET asio::asio)
      find_package(asio CONFIG QUIET)
    endif()
    if(NOT _rill_asio_dir AND NOT TARGET asio::asio)
      find_path(RILL_ASIO_FOUND_DIR asio.hpp)
      mark_as_advanced(RILL_ASIO_FOUND_DIR)
      set(_rill_asio_dir "${RILL_ASIO_FOUND_DIR}")
    endif()
    if(_rill_asio_dir OR TARGET asio::asio)
      find_package(Threads QUIET)
      add_library(rill::standalone_asio INTERFACE IMPORTED GLOBAL)
      if(_rill_asio_dir)
        target_include_directories(rill::standalone_asio SYSTEM INTERFACE "${_rill_asio_dir}")
      else()
        target_link_libraries(rill::standalone_asio INTERFACE asio::asio)
      endif()
      target_link_libraries(rill::standalone_asio INTERFACE Threads::Threads)
      # Asio 1.22 looks for <experimental/coroutine> on Clang and then offers no awaitable; later ones ignore these.
      target_compile_definitions(rill::standalone_asio INTERFACE ASIO_STANDALONE
        "$<$<CXX_COMPILER_ID:Clang>:ASIO_HAS_CO_AWAIT;ASIO_HAS_STD_COROUTINE>")
    endif()
    unset(_rill_asio_dir)
  endif()
endmacro()
