# The three programs, for whatever way the consumer got its targets.
add_executable(toolkit "${CMAKE_CURRENT_LIST_DIR}/toolkit.cpp")
target_link_libraries(toolkit PRIVATE rill::coro)

if(TARGET rill::rill)
  rill_add_protos(greeter_protos "${CMAKE_CURRENT_LIST_DIR}/greeter.proto")
  add_executable(greeter "${CMAKE_CURRENT_LIST_DIR}/greeter.cpp")
  target_link_libraries(greeter PRIVATE rill::rill greeter_protos)
endif()

if(TARGET rill::asio)
  add_executable(asio "${CMAKE_CURRENT_LIST_DIR}/asio.cpp")
  target_link_libraries(asio PRIVATE rill::asio)
endif()

# A library gives its users what they need to compile, and no flags of its own.
foreach(target IN ITEMS rill::coro rill::rill rill::asio)
  if(TARGET ${target})
    get_target_property(options ${target} INTERFACE_COMPILE_OPTIONS)
    if(options)
      message(FATAL_ERROR "${target} gives its users the flags ${options}")
    endif()
  endif()
endforeach()
if(DEFINED CACHE{RILL_BUILD_TESTS} AND RILL_BUILD_TESTS)
  message(FATAL_ERROR "a consumer builds rill's tests")
endif()
