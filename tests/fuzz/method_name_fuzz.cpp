// A method's name in a compiler's spelling of it: nothing but a name comes out, whatever the text.
#include "check.hpp"

#include <rill/rpc/method.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace {

/// Every "::" a dot, for names that begin with none.
std::string dotted(std::string_view scoped) {
  std::string name;
  for (std::size_t i = 0; i < scoped.size(); ++i) {
    if (scoped.substr(i, 2) == "::") ++i;
    name += scoped[i] == ':' ? '.' : scoped[i];
  }
  return name;
}

/// "a::b::c" of letters, from any bytes.
std::string some_name(std::string_view bytes) {
  std::string name = "p";
  for (const char c : bytes) {
    const auto value = static_cast<unsigned char>(c);
    name +=
        value % 7 == 0 && name.back() != ':' ? "::x" : std::string(1, static_cast<char>('a' + value % 26));
  }
  return name;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input{reinterpret_cast<const char*>(data), size};
  const std::string any = rill::detail::method_name_in(input);
  RILL_FUZZ_CHECK(any.size() <= input.size() + 1);
  for (const char c : any) {
    RILL_FUZZ_CHECK((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                    c == '.');
  }

  // In what compilers write the name comes out as it went in.
  const std::string service = some_name(input.substr(0, size / 2));
  const std::string method = "M" + std::to_string(size);
  for (const std::string& text :
       {"std::string rill::detail::spelled_method() [M = &" + service + "::Service::" + method + "]",
        "std::string rill::detail::spelled_method() [with auto M = &" + service + "::Service::" + method +
            "; std::string = std::__cxx11::basic_string<char>]"}) {
    RILL_FUZZ_CHECK(rill::detail::method_name_in(text) == dotted(service) + "." + method);
  }
  return 0;
}
