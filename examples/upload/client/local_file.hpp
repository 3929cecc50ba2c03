// The file to send: reads it and knows its digest. Everything here touches the disk: call it off the loop.
#pragma once

#include "../file_descriptor.hpp"

#include <cstdint>
#include <string>

namespace upload {

class local_file {
 public:
  /// Opens `path`; throws if it is not a file that can be read.
  explicit local_file(const std::string& path);

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// The digest of the first `size` bytes.
  [[nodiscard]] std::string digest(std::uint64_t size) const;
  /// Reads up to `most` bytes from `offset`; empty at the end.
  [[nodiscard]] std::string read(std::uint64_t offset, std::size_t most) const;

 private:
  std::string path_;
  file_descriptor file_;
  std::uint64_t size_ = 0;
};

}  // namespace upload
