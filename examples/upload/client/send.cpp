// An attempt asks where to begin, checks that the server's bytes are its own, and streams the rest. A broken
// connection leads to the next attempt.
#include "send.hpp"

#include "../bytes.hpp"
#include "../sha256.hpp"
#include "progress.hpp"
#include "upload.grpc.pb.h"

#include <rill/client/client.hpp>
#include <rill/coro/channel.hpp>
#include <rill/coro/sleep.hpp>
#include <rill/coro/when_all.hpp>
#include <rill/engine/cq/blocking.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <utility>

namespace upload {

namespace {

using namespace std::chrono_literals;
using rill::status_code;
using clock = std::chrono::steady_clock;
using send_stream = rill::client_stream<v1::Chunk, v1::Receipt>;
using chunks = rill::channel<v1::Chunk>;

constexpr std::size_t chunks_ahead = 8;

/// What may be better next time: nobody there, the server restarts, our own last attempt still has the name.
bool worth_retrying(status_code code) {
  return code == status_code::UNAVAILABLE || code == status_code::ABORTED || code == status_code::CANCELLED ||
         code == status_code::DEADLINE_EXCEEDED;
}

/// Reads ahead of the network, so that disk and network work at the same time.
rill::task<> read_ahead(const local_file& file, std::uint64_t offset, std::size_t size, chunks& into) {
  while (true) {
    v1::Chunk chunk;
    co_await rill::run_blocking([&] { chunk.set_data(file.read(offset, size)); });
    if (chunk.data().empty()) break;
    offset += chunk.data().size();
    if (!co_await into.send(std::move(chunk))) co_return;
  }
  into.close();
}

rill::task<> stream_out(chunks& from, send_stream& call, std::uint64_t rate, progress& shown,
                        std::uint64_t& done) {
  const clock::time_point began = clock::now();
  const std::uint64_t first = done;
  while (std::optional<v1::Chunk> chunk = co_await from.receive()) {
    if (!co_await call.write(*chunk)) {
      // The server has ended the call, and finish() will say why. Nothing more need be read.
      from.close();
      co_return;
    }
    done += chunk->data().size();
    shown.at(done);
    if (rate == 0) continue;
    const std::chrono::duration<double> due{static_cast<double>(done - first) / static_cast<double>(rate)};
    const clock::duration early = began + std::chrono::duration_cast<clock::duration>(due) - clock::now();
    if (early > 5ms) co_await rill::sleep_for(early);
  }
}

/// One attempt. `done` says how far it came, even if it fails.
rill::task<> attempt(const rill::client& client, const local_file& file, const v1::File& id,
                     send_options options, std::uint64_t& done) {
  const v1::Stored stored = co_await client.call<&v1::Upload::Service::Begin>(id);
  if (stored.complete()) {
    std::puts("the server has this file already");
    done = file.size();
    co_return;
  }
  std::uint64_t offset = std::min(stored.offset(), file.size());
  if (offset != 0) {
    const std::string prefix = co_await rill::run_blocking([&] { return file.digest(offset); });
    if (prefix == stored.prefix_sha256()) {
      std::printf("resuming at %s of %s\n", readable(offset).c_str(), readable(file.size()).c_str());
    } else {
      std::puts("what the server has is damaged; starting again");
      offset = 0;
    }
  }
  done = offset;

  v1::Chunk first;
  *first.mutable_header()->mutable_file() = id;
  first.mutable_header()->set_offset(offset);
  auto call = client.call<&v1::Upload::Service::Send>();
  co_await call.write(first);

  progress shown{file.size(), offset};
  chunks ahead{chunks_ahead};
  std::optional<rill::status_error> failure;
  try {
    co_await rill::when_all(read_ahead(file, offset, options.chunk, ahead),
                            stream_out(ahead, call, options.rate, shown, done));
  } catch (const rill::status_error& error) {
    failure = error;
  }
  shown.end();
  if (failure) throw *failure;
  const v1::Receipt receipt = co_await call.finish();
  if (receipt.sha256() != id.sha256()) throw std::runtime_error{"the server confirmed another SHA-256"};
}

}  // namespace

rill::task<std::string> send_file(const rill::client& client, const local_file& file, std::string name,
                                  send_options options) {
  v1::File id;
  id.set_name(std::move(name));
  id.set_size(file.size());
  // Read once before anything is sent: the digest is part of what names an upload.
  id.set_sha256(co_await rill::run_blocking([&] { return file.digest(file.size()); }));

  std::uint64_t best = 0;
  for (unsigned failures = 0;;) {
    std::uint64_t done = 0;
    try {
      co_await attempt(client, file, id, options, done);
      co_return to_hex(id.sha256());
    } catch (const rill::status_error& error) {
      failures = done > best ? 0 : failures + 1;
      best = std::max(best, done);
      if (!worth_retrying(error.code()) || failures > options.retries) throw;
      std::printf("%s; trying again\n", error.what());
      std::fflush(stdout);
    }
    co_await rill::sleep_for(std::min(failures + 1, 20U) * 250ms);
  }
}

}  // namespace upload
