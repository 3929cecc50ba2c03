// A message in pieces is parsed as protobuf parses it in one, and what is written is what protobuf would write.
#include "check.hpp"
#include "echo.pb.h"

#include <rill/rpc/codec.hpp>
#include <rill/rpc/message.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace {

/// A message cut at places that the input chooses. Pieces may be empty.
class cut_message {
 public:
  cut_message(std::string_view cuts, std::string_view bytes) {
    for (const char cut : cuts) {
      const std::size_t size = std::min<std::size_t>(static_cast<unsigned char>(cut) % 32, bytes.size());
      pieces_.push_back({bytes.data(), size});
      bytes.remove_prefix(size);
    }
    pieces_.push_back({bytes.data(), bytes.size()});
    for (const rill::piece& one : pieces_) size_ += one.size;
  }
  [[nodiscard]] rill::message_view view() const {
    rill::message_view seen;
    seen.size = size_;
    seen.first = pieces_.front();
    seen.pieces = static_cast<unsigned>(pieces_.size());
    seen.state = this;
    seen.at = [](const void* self, unsigned index) noexcept {
      return static_cast<const cut_message*>(self)->pieces_[index];
    };
    return seen;
  }

 private:
  std::vector<rill::piece> pieces_;
  std::size_t size_ = 0;
};

template <class T>
void check_parse(const cut_message& cut, std::string_view bytes) {
  T whole;
  T pieced;
  const bool good = whole.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  RILL_FUZZ_CHECK(rill::codec<T>::parse(pieced, cut.view()) == good);
  if (!good) return;
  const std::string plain = whole.SerializeAsString();
  RILL_FUZZ_CHECK(pieced.SerializeAsString() == plain);
  std::string written(rill::codec<T>::size(pieced), '\0');
  rill::codec<T>::write(pieced, written.data(), written.size());
  RILL_FUZZ_CHECK(written == plain);
}

/// Reads, backs up and skips as the input says, beside a plain position in the bytes.
void check_stream(const cut_message& cut, std::string_view steps, std::string_view bytes) {
  const rill::message_view view = cut.view();
  rill::detail::piece_stream stream{view};
  std::size_t at = 0;
  for (std::size_t i = 0; i + 1 < steps.size(); i += 2) {
    const std::size_t amount = static_cast<unsigned char>(steps[i + 1]);
    if (steps[i] % 3 == 0) {
      const std::size_t left = bytes.size() - at;
      RILL_FUZZ_CHECK(stream.Skip(static_cast<int>(amount)) == (amount <= left));
      at += std::min(amount, left);
    } else {
      const void* data = nullptr;
      int size = 0;
      if (!stream.Next(&data, &size)) {
        RILL_FUZZ_CHECK(at == bytes.size());
        continue;
      }
      RILL_FUZZ_CHECK(size > 0);
      RILL_FUZZ_CHECK(std::string_view(static_cast<const char*>(data), static_cast<std::size_t>(size)) ==
                      bytes.substr(at, static_cast<std::size_t>(size)));
      at += static_cast<std::size_t>(size);
      const int back = steps[i] % 3 == 1 ? std::min(size, static_cast<int>(amount)) : 0;
      stream.BackUp(back);
      at -= static_cast<std::size_t>(back);
    }
    RILL_FUZZ_CHECK(stream.ByteCount() == static_cast<std::int64_t>(at));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input{reinterpret_cast<const char*>(data), size};
  if (input.empty()) return 0;
  const std::size_t cuts = std::min<std::size_t>(static_cast<unsigned char>(input[0]) % 16, size - 1);
  const std::string_view where = input.substr(1, cuts);
  const std::string_view bytes = input.substr(1 + cuts);
  const cut_message cut{where, bytes};
  check_parse<rill::test::v1::Note>(cut, bytes);
  check_parse<rill::test::v1::Strict>(cut, bytes);
  check_parse<rill::test::v1::Summary>(cut, bytes);
  std::string raw;
  RILL_FUZZ_CHECK(rill::codec<std::string>::parse(raw, cut.view()) && raw == bytes);
  check_stream(cut, input, bytes);
  return 0;
}
