// The handlers. The loop only moves messages; hashing and the disk are run_blocking's business.
#include "service.hpp"

#include "../bytes.hpp"
#include "file_name.hpp"

#include <rill/coro/uncancellable.hpp>
#include <rill/coro/when_all.hpp>
#include <rill/coro/with_timeout.hpp>
#include <rill/engine/cq/blocking.hpp>
#include <rill/rpc/status.hpp>

#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

namespace upload {

namespace {

using rill::status_code;
using rill::status_error;

constexpr std::size_t chunks_ahead = 16;

file_id id_of(const v1::File& file) { return {file.name(), file.size(), file.sha256()}; }

}  // namespace

rill::task<v1::Stored> service::begin(v1::File request) {
  const file_id file = id_of(request);
  const folder::state state = co_await rill::run_blocking([&] {
    folder_.check(file);
    return folder_.look(file);
  });
  v1::Stored stored;
  stored.set_offset(state.offset);
  stored.set_prefix_sha256(state.prefix_sha256);
  stored.set_complete(state.complete);
  co_return stored;
}

rill::task<v1::Receipt> service::send(rill::reader<v1::Chunk>& in) {
  const v1::Chunk first = co_await next_chunk(in);
  if (!first.has_header())
    throw status_error{status_code::INVALID_ARGUMENT, "the first chunk must be the header"};
  const file_id id = id_of(first.header().file());
  const std::uint64_t offset = first.header().offset();

  check_file_name(id.name);  // again with everything else below; it is about to be said aloud
  const folder::claim mine = folder_.claim_name(id.name);
  partial_file file = co_await rill::run_blocking([&] {
    folder_.check(id);
    return folder_.open(id, offset);
  });
  std::printf("%s: receiving %s from %s\n", id.name.c_str(), readable(id.size).c_str(),
              readable(offset).c_str());

  chunks received{chunks_ahead};
  try {
    // The first to fail cancels the other, and both have ended before `file` and `received` go.
    co_await rill::when_all(receive(in, received), store(received, file));
  } catch (...) {  // cancelled, timed out, or refused
    std::printf("%s: broken off, %s kept\n", id.name.c_str(), readable(file.size()).c_str());
    throw;
  }
  // From here on the answer is due even if the client has just gone away: the file is complete.
  co_await rill::uncancellable(rill::run_blocking([&] { file.publish(); }));
  std::printf("%s: complete, %s, sha256 %s\n", id.name.c_str(), readable(id.size).c_str(),
              to_hex(id.sha256).c_str());

  v1::Receipt receipt;
  receipt.set_size(id.size);
  receipt.set_sha256(id.sha256);
  co_return receipt;
}

rill::task<> service::receive(rill::reader<v1::Chunk>& in, chunks& received) {
  v1::Chunk chunk;
  while (co_await rill::with_timeout(idle_limit_, in.read(chunk))) {
    if (!chunk.has_data())
      throw status_error{status_code::INVALID_ARGUMENT, "only the first chunk may be a header"};
    // While the disk is behind, this waits, then gRPC's window fills, and the client's write waits: nothing piles up.
    co_await received.send(std::move(*chunk.mutable_data()));
  }
  received.close();
}

rill::task<> service::store(chunks& received, partial_file& file) {
  std::vector<std::string> batch;
  while (std::optional<std::string> next = co_await received.receive()) {
    // Whatever came while the disk was busy is written in one go.
    batch.clear();
    do batch.push_back(std::move(*next));
    while ((next = received.try_receive()));
    co_await rill::run_blocking([&] {
      for (const std::string& bytes : batch) file.append(bytes);
    });
  }
}

rill::task<v1::Chunk> service::next_chunk(rill::reader<v1::Chunk>& in) {
  std::optional<v1::Chunk> chunk = co_await rill::with_timeout(idle_limit_, in.read());
  if (!chunk) throw status_error{status_code::INVALID_ARGUMENT, "the stream is empty"};
  co_return std::move(*chunk);
}

}  // namespace upload
