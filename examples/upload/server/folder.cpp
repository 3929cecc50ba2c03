// Paths never come from clients: files are opened relative to a folder that is held open, by checked plain names or
// by names made here, and symbolic links are not followed.
#include "folder.hpp"

#include "../bytes.hpp"
#include "file_name.hpp"

#include <rill/rpc/status.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <ctime>
#include <memory>
#include <system_error>
#include <vector>

namespace upload {

namespace {

using rill::status_code;
using rill::status_error;

/// Says what the system refused. Clients learn about a full disk; anything else is for the operator's eyes.
[[noreturn]] void fail(const char* what) {
  if (errno == ENOSPC || errno == EDQUOT) {
    throw status_error{status_code::RESOURCE_EXHAUSTED, "the server's disk is full; what arrived is kept"};
  }
  throw std::system_error{errno, std::generic_category(), what};
}

/// The same file under the same name finds its partial file again; another one never does.
std::string partial_name(const file_id& file) {
  return to_hex(sha256_of(file.name + '\0' + std::to_string(file.size) + '\0' + file.sha256));
}

/// Feeds the first `size` bytes to `hash`; fewer if the file is shorter. Gives how many there were.
std::uint64_t hash_prefix(int fd, std::uint64_t size, sha256& hash) {
  std::vector<char> buffer(256 * 1024);
  std::uint64_t done = 0;
  while (done < size) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size - done));
    const ssize_t got = ::pread(fd, buffer.data(), wanted, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("reading a file");
    if (got == 0) break;
    hash.update({buffer.data(), static_cast<std::size_t>(got)});
    done += static_cast<std::uint64_t>(got);
  }
  return done;
}

}  // namespace

folder::folder(const std::string& path, folder_options options)
    : options_{options}, directory_{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)} {
  if (!directory_) throw std::system_error{errno, std::generic_category(), "opening " + path};
  if (::mkdirat(directory_.get(), ".partial", 0700) != 0 && errno != EEXIST) fail("creating .partial");
  partials_ = file_descriptor{
      ::openat(directory_.get(), ".partial", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!partials_) fail("opening .partial");
  // Claims are kept in memory, so a folder belongs to one server.
  if (::flock(partials_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw std::runtime_error{"another server uses " + path};
  }
}

folder::claim folder::claim_name(const std::string& name) {
  const std::lock_guard held{mutex_};
  if (!claimed_.insert(name).second) {
    throw status_error{status_code::ABORTED,
                       "\"" + name + "\" is being uploaded by another client right now"};
  }
  return {*this, name};
}

folder::claim::~claim() {
  const std::lock_guard held{of_->mutex_};
  of_->claimed_.erase(name_);
}

void folder::check(const file_id& file) const {
  check_file_name(file.name);
  if (file.sha256.size() != sha256::size) {
    throw status_error{status_code::INVALID_ARGUMENT, "sha256 must have 32 bytes"};
  }
  if (file.size > options_.max_size) {
    throw status_error{status_code::RESOURCE_EXHAUSTED, "a file may have at most " +
                                                            readable(options_.max_size) +
                                                            " here; this one has " + readable(file.size)};
  }
  struct stat there{};
  if (::fstatat(directory_.get(), file.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) fail("looking for a file");
  } else if (!S_ISREG(there.st_mode)) {
    throw status_error{status_code::FAILED_PRECONDITION,
                       "\"" + file.name + "\" is there already and is not a plain file"};
  } else if (!options_.replace && !has_complete(file)) {
    throw status_error{status_code::ALREADY_EXISTS,
                       "\"" + file.name + "\" is there already, with other contents"};
  }
}

bool folder::has_complete(const file_id& file) const {
  const file_descriptor fd{::openat(directory_.get(), file.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
  struct stat there{};
  if (!fd || ::fstat(fd.get(), &there) != 0 || static_cast<std::uint64_t>(there.st_size) != file.size)
    return false;
  sha256 hash;
  hash_prefix(fd.get(), file.size, hash);
  return hash.digest() == file.sha256;
}

folder::state folder::look(const file_id& file) const {
  if (has_complete(file)) return {true, file.size, file.sha256};
  const file_descriptor fd{
      ::openat(partials_.get(), partial_name(file).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) {
    if (errno != ENOENT) fail("opening a partial file");
    return {false, 0, sha256_of({})};
  }
  // What is on the disk counts, not what was received: after a power cut the end of a file may be anything.
  sha256 hash;
  const std::uint64_t offset = hash_prefix(fd.get(), file.size, hash);
  return {false, offset, hash.digest()};
}

partial_file folder::open(const file_id& file, std::uint64_t offset) { return {*this, file, offset}; }

unsigned folder::forget_older_than(unsigned days) {
  const file_descriptor again{::openat(partials_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  const std::unique_ptr<DIR, int (*)(DIR*)> list{::fdopendir(::dup(again.get())), &::closedir};
  if (list == nullptr) fail("listing .partial");
  const std::time_t limit = std::time(nullptr) - std::time_t{days} * 24 * 60 * 60;
  unsigned forgotten = 0;
  while (const dirent* entry = ::readdir(list.get())) {
    struct stat there{};
    if (::fstatat(partials_.get(), entry->d_name, &there, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISREG(there.st_mode) || there.st_mtime >= limit) continue;
    if (::unlinkat(partials_.get(), entry->d_name, 0) == 0) ++forgotten;
  }
  return forgotten;
}

partial_file::partial_file(folder& in, file_id file, std::uint64_t offset)
    : folder_{&in},
      file_{std::move(file)},
      partial_name_{partial_name(file_)},
      file_descriptor_{::openat(in.partials_.get(), partial_name_.c_str(),
                                O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644)} {
  if (!file_descriptor_) fail("opening a partial file");
  size_ = hash_prefix(file_descriptor_.get(), offset, sha256_);
  if (size_ != offset) {
    throw status_error{status_code::FAILED_PRECONDITION,
                       "the server has " + std::to_string(size_) + " bytes of this file, not " +
                           std::to_string(offset) + "; ask it where to begin"};
  }
  if (::ftruncate(file_descriptor_.get(), static_cast<off_t>(offset)) != 0) fail("cutting a partial file");
}

void partial_file::append(std::string_view bytes) {
  if (bytes.size() > file_.size - size_) {
    throw status_error{
        status_code::OUT_OF_RANGE,
        "there is more data than the " + std::to_string(file_.size) + " bytes that were announced"};
  }
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(file_descriptor_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("writing a file");
    const std::string_view written = bytes.substr(0, static_cast<std::size_t>(put));
    sha256_.update(written);
    size_ += written.size();
    bytes.remove_prefix(written.size());
  }
}

void partial_file::publish() {
  if (size_ != file_.size) {
    throw status_error{status_code::INVALID_ARGUMENT, "the stream ended after " + std::to_string(size_) +
                                                          " of " + std::to_string(file_.size) + " bytes"};
  }
  if (sha256_.digest() != file_.sha256) {
    ::unlinkat(folder_->partials_.get(), partial_name_.c_str(), 0);
    throw status_error{status_code::DATA_LOSS,
                       "the data does not have the announced SHA-256; it was thrown away"};
  }
  // First the contents, then the name, then the folder that holds the name: a crash in between leaves no half file.
  if (::fsync(file_descriptor_.get()) != 0) fail("syncing a file");
  const unsigned how = folder_->options_.replace ? 0U : RENAME_NOREPLACE;
  if (::renameat2(folder_->partials_.get(), partial_name_.c_str(), folder_->directory_.get(),
                  file_.name.c_str(), how) != 0) {
    if (errno == EEXIST || errno == EISDIR) {
      throw status_error{status_code::ALREADY_EXISTS, "\"" + file_.name + "\" is there already"};
    }
    fail("renaming a file");
  }
  if (::fsync(folder_->directory_.get()) != 0) fail("syncing the folder");
}

}  // namespace upload
