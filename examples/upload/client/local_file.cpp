// Reads by position, so that reads need no order.
#include "local_file.hpp"

#include "../sha256.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace upload {

local_file::local_file(const std::string& path)
    : path_{path}, file_{::open(path.c_str(), O_RDONLY | O_CLOEXEC)} {
  struct stat there{};
  if (!file_ || ::fstat(file_.get(), &there) != 0) {
    throw std::system_error{errno, std::generic_category(), path};
  }
  if (!S_ISREG(there.st_mode)) throw std::runtime_error{path + " is not a plain file"};
  size_ = static_cast<std::uint64_t>(there.st_size);
}

std::string local_file::digest(std::uint64_t size) const {
  sha256 hash;
  std::uint64_t done = 0;
  while (done < size) {
    const std::string piece =
        read(done, static_cast<std::size_t>(std::min<std::uint64_t>(256 * 1024, size - done)));
    if (piece.empty()) throw std::runtime_error{path_ + " became shorter while it was read"};
    hash.update(piece);
    done += piece.size();
  }
  return hash.digest();
}

std::string local_file::read(std::uint64_t offset, std::size_t most) const {
  std::string bytes(most, '\0');
  std::size_t size = 0;
  while (size < most) {
    const ssize_t got =
        ::pread(file_.get(), bytes.data() + size, most - size, static_cast<off_t>(offset + size));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error{errno, std::generic_category(), "reading " + path_};
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace upload
