// What rill needs from Asio's executors, and the names that Asio has moved out of `asio::experimental` over time.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/execution.hpp>
#include <asio/execution_context.hpp>
#include <asio/is_executor.hpp>
#include <asio/prefer.hpp>
#include <asio/query.hpp>
#include <asio/require.hpp>
#include <asio/version.hpp>

#if ASIO_VERSION >= 102400
#include <asio/as_tuple.hpp>
#include <asio/deferred.hpp>
#else
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/deferred.hpp>
#endif

#include <concepts>
#include <type_traits>

namespace rill::asio_names {

#if ASIO_VERSION >= 102400
using ::asio::as_tuple;
using ::asio::as_tuple_t;
using ::asio::deferred;
#else
using ::asio::experimental::as_tuple;
using ::asio::experimental::as_tuple_t;
using ::asio::experimental::deferred;
#endif

}  // namespace rill::asio_names

namespace rill::detail {

template <class E>
concept asio_executor = (::asio::execution::is_executor<E>::value || ::asio::is_executor<E>::value) &&
                        std::constructible_from<::asio::any_io_executor, const E&>;

template <class C>
concept asio_context = std::derived_from<C, ::asio::execution_context> && requires(C& context) {
  { context.get_executor() } -> asio_executor;
};

}  // namespace rill::detail
