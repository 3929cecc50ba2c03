// method<M>: what &Greeter::Service::SayHello says about a method: kind, request, response and path.
// The only place that knows how generated code spells a method.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace grpc {
class Status;
class ServerContext;
template <class W>
class ServerWriter;
template <class R>
class ServerReader;
template <class W, class R>
class ServerReaderWriter;
}  // namespace grpc

namespace rill {

enum class method_kind : std::uint8_t { unary, server_streaming, client_streaming, bidi };

namespace detail {

template <method_kind Kind, class Request, class Response>
struct method_shape {
  static constexpr method_kind kind = Kind;
  using request_type = Request;
  using response_type = Response;
};

template <class Pointer>
struct method_traits {
  static_assert(
      !std::is_same_v<Pointer, Pointer>,
      "rill: this is not a method of generated gRPC code; name it like &Greeter::Service::SayHello");
};
template <class S, class Q, class R>
struct method_traits<grpc::Status (S::*)(grpc::ServerContext*, const Q*, R*)>
    : method_shape<method_kind::unary, Q, R> {};
template <class S, class Q, class R>
struct method_traits<grpc::Status (S::*)(grpc::ServerContext*, const Q*, grpc::ServerWriter<R>*)>
    : method_shape<method_kind::server_streaming, Q, R> {};
template <class S, class Q, class R>
struct method_traits<grpc::Status (S::*)(grpc::ServerContext*, grpc::ServerReader<Q>*, R*)>
    : method_shape<method_kind::client_streaming, Q, R> {};
template <class S, class Q, class R>
struct method_traits<grpc::Status (S::*)(grpc::ServerContext*, grpc::ServerReaderWriter<R, Q>*)>
    : method_shape<method_kind::bidi, Q, R> {};

/// "pkg.Greeter.SayHello" out of a function's own name that has "&pkg::Greeter::Service::SayHello" as an argument;
/// empty if it has none.
inline std::string method_name_in(std::string_view text) {
  constexpr std::string_view service = "::Service::";
  const std::size_t at = text.rfind(service);
  if (at == std::string_view::npos) return {};
  const auto part_of_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
  };
  std::size_t begin = at;
  while (begin > 0 && part_of_name(text[begin - 1])) --begin;
  std::size_t end = at + service.size();
  while (end < text.size() && part_of_name(text[end])) ++end;

  std::string name;
  const auto append = [&name](std::string_view scoped) {
    while (scoped.starts_with("::")) scoped.remove_prefix(2);
    for (std::size_t i = 0; i < scoped.size(); ++i) {
      if (scoped[i] != ':') {
        name += scoped[i];
      } else {
        name += '.';
        ++i;
      }
    }
  };
  append(text.substr(begin, at - begin));
  name += '.';
  append(text.substr(at + service.size(), end - at - service.size()));
  return name;
}

template <auto M>
std::string spelled_method() {
#if defined(_MSC_VER) && !defined(__clang__)
  return method_name_in(__FUNCSIG__);
#else
  return method_name_in(__PRETTY_FUNCTION__);
#endif
}

template <auto M>
std::string find_method_path() {
  using traits = method_traits<decltype(M)>;
  const std::string name = spelled_method<M>();
  if constexpr (std::is_base_of_v<google::protobuf::Message, typename traits::request_type>) {
    if (google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name) == nullptr) {
      throw std::logic_error{"rill: no method \"" + name +
                             "\" is known to protobuf; specialise rill::method_path for this method"};
    }
  }
  const std::size_t dot = name.rfind('.');
  std::string path{'/'};
  path.append(name, 0, dot);
  path += '/';
  path.append(name, dot + 1);
  return path;
}

}  // namespace detail

/// The path of a method, such as "/helloworld.Greeter/SayHello". Specialise it where the name cannot be deduced, as
/// a function object that returns something with static storage.
/// *Throws*: `std::logic_error` if protobuf does not know the method.
template <auto M>
struct method_path {
  const std::string& operator()() const {
    static const std::string path = detail::find_method_path<M>();
    return path;
  }
};

/// What a method is, deduced from the pointer to its generated member function.
template <auto M>
struct method : detail::method_traits<decltype(M)> {
  [[nodiscard]] static const std::string& path() { return method_path<M>{}(); }
};

}  // namespace rill
