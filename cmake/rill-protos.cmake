# rill_add_protos(<target> <file.proto>... [IMPORT_DIRS <dir>...])
#
# Compiles .proto files with protoc and gRPC's stock C++ plugin. A <target> that exists gets the generated sources; any
# other name becomes a static library that links protobuf and gRPC, which is the better choice when several targets
# use the messages. Either way `#include "name.grpc.pb.h"` works, for the path of the file below the first
# IMPORT_DIRS entry that contains it. Without IMPORT_DIRS each file is named relative to its own folder.
#
# Set RILL_PROTOC and RILL_GRPC_CPP_PLUGIN to use other programs than those that are found.
include_guard(GLOBAL)

function(_rill_find_proto_tools)
  foreach(tool IN ITEMS protoc grpc_cpp_plugin)
    string(TOUPPER "RILL_${tool}" variable)
    if(tool STREQUAL "protoc")
      set(imported protobuf::protoc)
    else()
      set(imported gRPC::grpc_cpp_plugin)
    endif()
    set(RILL_GRPC_CPP_PLUGIN "${RILL_GRPC_CPP_PLUGIN}" CACHE FILEPATH "gRPC's plugin for protoc")
    set(RILL_PROTOC "${RILL_PROTOC}" CACHE FILEPATH "The protobuf compiler")
    if(${variable})
      set(_${variable} "${${variable}}" PARENT_SCOPE)
    elseif(TARGET ${imported} AND NOT CMAKE_CROSSCOMPILING)
      set(_${variable} "$<TARGET_FILE:${imported}>" PARENT_SCOPE)
    else()
      find_program(${variable}_EXECUTABLE ${tool})
      mark_as_advanced(${variable}_EXECUTABLE)
      if(NOT ${variable}_EXECUTABLE)
        message(FATAL_ERROR "rill_add_protos: ${tool} was not found. On Debian and Ubuntu: "
          "apt-get install protobuf-compiler protobuf-compiler-grpc; elsewhere set ${variable}.")
      endif()
      set(_${variable} "${${variable}_EXECUTABLE}" PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

function(rill_add_protos target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "IMPORT_DIRS")
  if(NOT arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "rill_add_protos(${target}): no .proto file was given")
  endif()
  _rill_find_proto_tools()

  set(import_dirs "")
  foreach(dir IN LISTS arg_IMPORT_DIRS)
    get_filename_component(dir "${dir}" ABSOLUTE)
    list(APPEND import_dirs "${dir}")
  endforeach()

  set(out "${CMAKE_CURRENT_BINARY_DIR}/${target}.protos")
  file(MAKE_DIRECTORY "${out}")
  set(generated "")
  foreach(proto IN LISTS arg_UNPARSED_ARGUMENTS)
    get_filename_component(proto "${proto}" ABSOLUTE)
    if(NOT EXISTS "${proto}")
      message(FATAL_ERROR "rill_add_protos(${target}): ${proto} does not exist")
    endif()
    set(root "")
    foreach(dir IN LISTS import_dirs)
      cmake_path(IS_PREFIX dir "${proto}" NORMALIZE inside)
      if(inside AND NOT root)
        set(root "${dir}")
      endif()
    endforeach()
    if(NOT root)
      get_filename_component(root "${proto}" DIRECTORY)
    endif()
    cmake_path(RELATIVE_PATH proto BASE_DIRECTORY "${root}" OUTPUT_VARIABLE name)
    cmake_path(REMOVE_EXTENSION name LAST_ONLY OUTPUT_VARIABLE stem)

    set(includes "-I${root}")
    foreach(dir IN LISTS import_dirs Protobuf_IMPORT_DIRS)
      list(APPEND includes "-I${dir}")
    endforeach()
    list(REMOVE_DUPLICATES includes)

    set(files "${out}/${stem}.pb.cc" "${out}/${stem}.pb.h" "${out}/${stem}.grpc.pb.cc" "${out}/${stem}.grpc.pb.h")
    add_custom_command(
      OUTPUT ${files}
      COMMAND "${_RILL_PROTOC}" ${includes} "--cpp_out=${out}" "--grpc_out=${out}"
              "--plugin=protoc-gen-grpc=${_RILL_GRPC_CPP_PLUGIN}" "${proto}"
      DEPENDS "${proto}"
      COMMENT "Generating C++ for ${name}"
      VERBATIM)
    list(APPEND generated ${files})
  endforeach()

  if(NOT TARGET ${target})
    add_library(${target} STATIC)
    target_compile_features(${target} PUBLIC cxx_std_17)
    target_link_libraries(${target} PUBLIC gRPC::grpc++ protobuf::libprotobuf)
    set(scope PUBLIC)
  else()
    target_link_libraries(${target} PRIVATE gRPC::grpc++ protobuf::libprotobuf)
    set(scope PRIVATE)
  endif()
  target_sources(${target} PRIVATE ${generated})
  target_include_directories(${target} SYSTEM ${scope} "${out}")
endfunction()
