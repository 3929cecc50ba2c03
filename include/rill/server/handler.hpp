// Which functions can handle a method, and the coroutine that runs one for each call.
#pragma once

#include "rill/coro/async_generator.hpp"
#include "rill/coro/detail/root.hpp"
#include "rill/coro/task.hpp"
#include "rill/coro/this_context.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/encoded.hpp"
#include "rill/rpc/method.hpp"
#include "rill/server/detail/end_call.hpp"
#include "rill/server/reader.hpp"
#include "rill/server/server_context.hpp"
#include "rill/server/writer.hpp"

#include <memory>
#include <type_traits>
#include <utility>

namespace rill::detail {

template <class T>
struct task_value {};
template <class T>
struct task_value<task<T>> {
  using type = T;
};
/// What a `task` gives; no type at all for anything else.
template <class T>
using task_value_t = typename task_value<T>::type;

template <class T, class... Allowed>
inline constexpr bool is_one_of = (std::is_same_v<T, Allowed> || ...);

/// A `task` of one response: plain, encoded, or a `result` of either.
template <class T, class R>
concept gives_response = requires { typename task_value_t<T>; } &&
                         is_one_of<task_value_t<T>, R, encoded<R>, result<R>, result<encoded<R>>>;
/// A `task` of nothing but how the call ends.
template <class T>
concept gives_status =
    requires { typename task_value_t<T>; } && is_one_of<task_value_t<T>, void, status, result<void>>;
template <class T, class R>
concept gives_items = is_one_of<T, async_generator<R>, async_generator<encoded<R>>>;

/// Calls a handler with the context in front of `args`, or without it.
template <class F, class... Args>
decltype(auto) call_handler(F& handler, server_context& context, Args&&... args) {
  if constexpr (std::is_invocable_v<F&, server_context&, Args...>) {
    return handler(context, std::forward<Args>(args)...);
  } else {
    return handler(std::forward<Args>(args)...);
  }
}
template <class F, class... Args>
concept takes = std::is_invocable_v<F&, server_context&, Args...> || std::is_invocable_v<F&, Args...>;
template <class F, class... Args>
using handler_result =
    decltype(call_handler(std::declval<F&>(), std::declval<server_context&>(), std::declval<Args>()...));

template <class F, class R, class... Args>
concept responds = takes<F, Args...> && gives_response<handler_result<F, Args...>, R>;
template <class F, class... Args>
concept concludes = takes<F, Args...> && gives_status<handler_result<F, Args...>>;
template <class F, class R, class... Args>
concept generates = takes<F, Args...> && gives_items<handler_result<F, Args...>, R>;

template <class F, class M>
inline constexpr bool handles_unary = responds<F, typename M::response_type, typename M::request_type>;
template <class F, class M>
inline constexpr bool handles_client_streaming =
    responds<F, typename M::response_type, reader<typename M::request_type>&>;
template <class F, class M>
inline constexpr bool handles_server_streaming =
    generates<F, typename M::response_type, typename M::request_type> ||
    concludes<F, typename M::request_type, writer<typename M::response_type>&>;
template <class F, class M>
inline constexpr bool handles_bidi =
    generates<F, typename M::response_type, reader<typename M::request_type>&> ||
    concludes<F, reader<typename M::request_type>&, writer<typename M::response_type>&>;

/// A handler as a method table keeps it.
template <class F>
struct handler_box {
  F handler;
  std::shared_ptr<error_hook> hook;
};

/// Queues the one response and ends the call, or ends it with the status that stands in its place.
template <class T>
void send_response(server_side& side, const T& response) {
  static_cast<void>(put_message(side.stream(), response, {}));
  end_call(side, {});
}
template <class T>
void send_response(server_side& side, const result<T>& response) {
  if (response) {
    send_response(side, *response);
  } else {
    end_call(side, response.status());
  }
}

/// Parses the one request of a unary or server-streaming call; if there is none, ends the call and gives false.
template <class Q>
bool take_request(server_side& side, Q& request) {
  message_view bytes;
  switch (side.stream().front(bytes)) {
    case next_message::message: {
      const bool parsed = codec<Q>::parse(request, bytes);
      side.stream().pop();
      if (!parsed) end_call(side, server_side::malformed_status());
      return parsed;
    }
    case next_message::end:
      end_call(side, {status_code::UNIMPLEMENTED, "the call has no request"});
      return false;
    default:
      side.at_dead();
  }
}

/// Awaits a streaming handler and ends the call with its status.
template <class T>
task<> conclude(task<T> handler, server_side& side) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(handler);
    end_call(side, {});
  } else if constexpr (std::is_same_v<T, status>) {
    end_call(side, co_await std::move(handler));
  } else {
    const T ended = co_await std::move(handler);
    end_call(side, ended.status());
  }
}

/// Writes what a generator yields. Once the call is dead the generator is run once more, so that its `co_yield` throws
/// and it can clean up.
template <class Item>
task<> conclude(async_generator<Item> items, server_side& side) {
  bool dead = false;
  while (const Item* item = co_await items.next_ref()) {
    if (dead) side.at_dead();
    try {
      co_await write_operation<Item, server_side>{side, *item, {}};
    } catch (const operation_cancelled&) {
      dead = true;
    }
  }
  end_call(side, {});
}

template <auto M, class F>
root serve_unary(server_call& call, handler_box<F>& box) {
  server_context context{call, co_await this_context()};
  try {
    typename method<M>::request_type request;
    if (take_request(context.side(), request)) {
      send_response(context.side(), co_await call_handler(box.handler, context, std::move(request)));
    }
  } catch (...) {
    end_call_by_exception(context.side(), *box.hook);
  }
}

template <auto M, class F>
root serve_client_streaming(server_call& call, handler_box<F>& box) {
  server_context context{call, co_await this_context()};
  try {
    reader<typename method<M>::request_type> in{context.side()};
    send_response(context.side(), co_await call_handler(box.handler, context, in));
  } catch (...) {
    end_call_by_exception(context.side(), *box.hook);
  }
}

template <auto M, class F>
root serve_server_streaming(server_call& call, handler_box<F>& box) {
  using request_type = typename method<M>::request_type;
  using response_type = typename method<M>::response_type;
  server_context context{call, co_await this_context()};
  try {
    request_type request;
    if (take_request(context.side(), request)) {
      if constexpr (generates<F, response_type, request_type>) {
        co_await conclude(call_handler(box.handler, context, std::move(request)), context.side());
      } else {
        writer<response_type> out{context.side()};
        co_await conclude(call_handler(box.handler, context, std::move(request), out), context.side());
      }
    }
  } catch (...) {
    end_call_by_exception(context.side(), *box.hook);
  }
}

template <auto M, class F>
root serve_bidi(server_call& call, handler_box<F>& box) {
  using response_type = typename method<M>::response_type;
  server_context context{call, co_await this_context()};
  try {
    reader<typename method<M>::request_type> in{context.side()};
    if constexpr (generates<F, response_type, decltype(in)&>) {
      co_await conclude(call_handler(box.handler, context, in), context.side());
    } else {
      writer<response_type> out{context.side()};
      co_await conclude(call_handler(box.handler, context, in, out), context.side());
    }
  } catch (...) {
    end_call_by_exception(context.side(), *box.hook);
  }
}

/// What `method_entry::start` is for a handler of `M`.
template <auto M, class F>
void start_call(server_call& call, void* handler) noexcept {
  task_context context;
  context.home = &call.home();
  context.token = call.token();
  context.deadline = call.deadline();
  context.name = method<M>::path().c_str();
  auto& box = *static_cast<handler_box<F>*>(handler);
  constexpr method_kind kind = method<M>::kind;
  if constexpr (kind == method_kind::unary) {
    serve_unary<M>(call, box).start(context);
  } else if constexpr (kind == method_kind::client_streaming) {
    serve_client_streaming<M>(call, box).start(context);
  } else if constexpr (kind == method_kind::server_streaming) {
    serve_server_streaming<M>(call, box).start(context);
  } else {
    serve_bidi<M>(call, box).start(context);
  }
}

/// Checks a handler's signature against the method that it is to handle.
template <auto M, class F>
consteval bool check_handler() {
  using shape = method<M>;
  if constexpr (shape::kind == method_kind::unary) {
    static_assert(handles_unary<F, shape>,
                  "rill: this cannot handle a unary method. With request Q and response R it must be "
                  "task<R>(Q) or task<R>(server_context&, Q); Q may be const Q&, and the task may give "
                  "result<R> or encoded<R> as well");
    return handles_unary<F, shape>;
  } else if constexpr (shape::kind == method_kind::client_streaming) {
    static_assert(
        handles_client_streaming<F, shape>,
        "rill: this cannot handle a client-streaming method. With request Q and response R it must be "
        "task<R>(reader<Q>&) or task<R>(server_context&, reader<Q>&); the task may give "
        "result<R> or encoded<R> as well");
    return handles_client_streaming<F, shape>;
  } else if constexpr (shape::kind == method_kind::server_streaming) {
    static_assert(
        handles_server_streaming<F, shape>,
        "rill: this cannot handle a server-streaming method. With request Q and response R it must be "
        "async_generator<R>(Q), async_generator<R>(server_context&, Q), task<>(Q, writer<R>&) or "
        "task<>(server_context&, Q, writer<R>&); Q may be const Q&, the generator may give encoded<R>, "
        "and the task may give grpc::Status or result<void>");
    return handles_server_streaming<F, shape>;
  } else {
    static_assert(
        handles_bidi<F, shape>,
        "rill: this cannot handle a bidirectional method. With request Q and response R it must be "
        "task<>(reader<Q>&, writer<R>&), task<>(server_context&, reader<Q>&, writer<R>&), "
        "async_generator<R>(reader<Q>&) or async_generator<R>(server_context&, reader<Q>&); the task may "
        "give grpc::Status or result<void>, and the generator encoded<R>");
    return handles_bidi<F, shape>;
  }
}

}  // namespace rill::detail
