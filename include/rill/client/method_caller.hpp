// method_caller: makes typed calls through a connector, whatever engine that belongs to.
#pragma once

#include "rill/client/as_result.hpp"
#include "rill/client/bidi_stream.hpp"
#include "rill/client/client_stream.hpp"
#include "rill/client/server_stream.hpp"
#include "rill/client/unary_call.hpp"
#include "rill/rpc/encoded.hpp"
#include "rill/rpc/method.hpp"

#include <memory>
#include <type_traits>
#include <utility>

namespace rill {

/// Makes calls. Copies share their connection.
/// *Concurrency*: any thread; a call belongs to the home of the task that awaits it.
class method_caller {
  template <auto M>
  static constexpr bool one_request =
      method<M>::kind == method_kind::unary || method<M>::kind == method_kind::server_streaming;
  template <auto M>
  using request_of = typename method<M>::request_type;
  template <auto M>
  using response_of = typename method<M>::response_type;

 public:
  /// *Throws*: `usage_error` if `connection` is null.
  explicit method_caller(std::shared_ptr<rill::connector> connection) : connector_{std::move(connection)} {
    if (connector_ == nullptr) throw usage_error{"rill: a client needs a connector"};
  }

  /// A call of `M`, such as `&Greeter::Service::SayHello`, that has one request: a `unary_call`, which is awaited for its
  /// response, or a `server_stream`. *Lifetime*: a unary call refers to a `request` that has a name.
  template <auto M>
    requires one_request<M>
  [[nodiscard]] auto call(const request_of<M>& request, call_options options = {}) const {
    return make<M, const request_of<M>&>(request, options);
  }
  template <auto M>
    requires one_request<M>
  [[nodiscard]] auto call(request_of<M>&& request, call_options options = {}) const {
    return make<M, request_of<M>>(std::move(request), options);
  }
  /// As above with a request that was serialised before.
  template <auto M>
    requires one_request<M>
  [[nodiscard]] auto call(const encoded<request_of<M>>& request, call_options options = {}) const {
    return make<M, encoded<request_of<M>>>(request, options);
  }
  /// A call of `M` whose requests are streamed: a `client_stream` or a `bidi_stream`.
  template <auto M>
    requires(!one_request<M>)
  [[nodiscard]] auto call(call_options options = {}) const {
    using stream = std::conditional_t<method<M>::kind == method_kind::client_streaming,
                                      client_stream<request_of<M>, response_of<M>>,
                                      bidi_stream<request_of<M>, response_of<M>>>;
    return stream{std::make_unique<detail::client_side>(setup<M>(options))};
  }

  [[nodiscard]] const std::shared_ptr<rill::connector>& connector() const noexcept { return connector_; }

 private:
  template <auto M>
  [[nodiscard]] detail::call_setup setup(const call_options& options) const {
    return {connector_, method<M>::path(), method<M>::kind, options};
  }
  template <auto M, class Held, class Request>
  [[nodiscard]] auto make(Request&& request, const call_options& options) const {
    if constexpr (method<M>::kind == method_kind::unary) {
      return unary_call<response_of<M>, Held>{setup<M>(options), std::forward<Request>(request)};
    } else {
      return server_stream<response_of<M>>{
          std::make_unique<detail::client_side>(setup<M>(options), bytes_of(request))};
    }
  }
  template <class Request>
  static payload bytes_of(const Request& request) {
    return encoded<Request>{request}.payload();
  }
  template <class Request>
  static payload bytes_of(const encoded<Request>& request) {
    return request.payload();
  }

  std::shared_ptr<rill::connector> connector_;
};

}  // namespace rill
