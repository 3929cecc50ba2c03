// The folder that files arrive in. Everything here touches the disk: call it off the loop.
#pragma once

#include "../file_descriptor.hpp"
#include "../sha256.hpp"

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace upload {

/// An upload: which file, under which name.
struct file_id {
  std::string name;
  std::uint64_t size = 0;
  std::string sha256;
};

struct folder_options {
  std::uint64_t max_size = 10ULL << 30;
  bool replace = false;  ///< Whether an upload may replace a finished file of its name.
};

class partial_file;

/// A folder, and a hidden one inside it, `.partial`, for files that are not complete. Files move from there to their
/// name by one rename, so nobody ever sees half a file.
class folder {
 public:
  /// Opens `path`, which exists; creates `.partial`. Throws if another server uses it.
  explicit folder(const std::string& path, folder_options options = {});

  /// The right to write the file of one name; one at a time.
  class claim {
   public:
    claim(folder& of, std::string name) : of_{&of}, name_{std::move(name)} {}
    claim(const claim&) = delete;
    claim& operator=(const claim&) = delete;
    ~claim();

   private:
    folder* of_;
    std::string name_;
  };

  /// Claims the name; throws ABORTED while another upload has it.
  [[nodiscard]] claim claim_name(const std::string& name);

  /// Throws the status that refuses `file`: a bad name, too large, a name that is taken.
  void check(const file_id& file) const;

  struct state {
    bool complete = false;
    std::uint64_t offset = 0;
    std::string prefix_sha256;
  };
  /// What is there of `file`.
  [[nodiscard]] state look(const file_id& file) const;

  /// Opens what is there of `file`, cut off at `offset`, to add to it. Needs the claim.
  [[nodiscard]] partial_file open(const file_id& file, std::uint64_t offset);

  /// Deletes partial files that nobody has touched for `days`.
  unsigned forget_older_than(unsigned days);

 private:
  friend class partial_file;
  [[nodiscard]] bool has_complete(const file_id& file) const;

  folder_options options_;
  file_descriptor directory_;
  file_descriptor partials_;
  std::mutex mutex_;
  std::set<std::string> claimed_;
};

/// A file that grows in `.partial`. Destroying it keeps what is there for the next attempt.
class partial_file {
 public:
  /// Adds bytes. Throws OUT_OF_RANGE beyond the announced size, RESOURCE_EXHAUSTED when the disk is full.
  void append(std::string_view bytes);
  /// Makes sure that the file is whole and on the disk, and gives it its name.
  /// Throws INVALID_ARGUMENT if bytes are missing, DATA_LOSS if they are not the announced ones.
  void publish();
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

 private:
  friend class folder;
  partial_file(folder& in, file_id file, std::uint64_t offset);

  folder* folder_;
  file_id file_;
  std::string partial_name_;
  file_descriptor file_descriptor_;
  std::uint64_t size_ = 0;
  sha256 sha256_;
};

}  // namespace upload
