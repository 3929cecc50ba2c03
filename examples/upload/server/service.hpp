// The service: Begin says what is there, Send takes the rest.
#pragma once

#include "folder.hpp"
#include "upload.pb.h"

#include <rill/coro/channel.hpp>
#include <rill/coro/task.hpp>
#include <rill/server/reader.hpp>

#include <chrono>
#include <string>

namespace upload {

class service {
 public:
  /// A client that sends nothing for `idle_limit` is given up, so that it cannot hold a name for ever.
  service(folder& into, std::chrono::nanoseconds idle_limit) : folder_{into}, idle_limit_{idle_limit} {}

  rill::task<v1::Stored> begin(v1::File request);
  rill::task<v1::Receipt> send(rill::reader<v1::Chunk>& in);

 private:
  // Between the network and the disk: a few chunks, so that each can go on while the other is busy, and memory stays
  // the same for a file of any size.
  using chunks = rill::channel<std::string>;

  rill::task<> receive(rill::reader<v1::Chunk>& in, chunks& received);
  static rill::task<> store(chunks& received, partial_file& file);
  rill::task<v1::Chunk> next_chunk(rill::reader<v1::Chunk>& in);

  folder& folder_;
  std::chrono::nanoseconds idle_limit_;
};

}  // namespace upload
