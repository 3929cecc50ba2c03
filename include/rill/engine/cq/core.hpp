// What the engine takes from gRPC below its public C++ interface: tags, batches, slices and byte buffers.
// Whatever touches grpc::internal or the C interface stands here or is called through here.
#pragma once

#include "rill/rpc/byte_stream.hpp"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/serialization_traits.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace rill::cq {

/// The one type of tag: what a completion queue gives back. `complete` runs on the loop that polls the queue.
class event final : public grpc::internal::CompletionQueueTag {
 public:
  using function = void (*)(void* owner, bool ok) noexcept;

  event(function f, void* owner) noexcept : complete_{f}, owner_{owner} {}
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  bool FinalizeResult(void** tag, bool*) override {
    *tag = this;
    return true;
  }
  void complete(bool ok) noexcept { complete_(owner_, ok); }
  /// As gRPC's own calls take it and give it back.
  [[nodiscard]] void* tag() noexcept { return this; }
  static event& from_tag(void* tag) noexcept { return *static_cast<event*>(tag); }

 private:
  function complete_;
  void* owner_;
};

/// The longest batch has headers, message, half-close and the three receiving operations of a unary client call.
class batch {
 public:
  grpc_op& add(grpc_op_type type, std::uint32_t flags = 0) noexcept {
    grpc_op& op = ops_[count_++];
    op.op = type;
    op.flags = flags;
    op.reserved = nullptr;
    return op;
  }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  /// False if gRPC refused it, which a correct sequence of operations never sees.
  [[nodiscard]] bool start(grpc_call* call, event& done) noexcept {
    return grpc_call_start_batch(call, ops_, count_, static_cast<grpc::internal::CompletionQueueTag*>(&done),
                                 nullptr) == GRPC_CALL_OK;
  }

 private:
  grpc_op ops_[6];
  std::size_t count_ = 0;
};

inline std::string_view view_of(const grpc_slice& slice) noexcept {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

/// A received message, looked at in place.
inline message_view view_of(grpc_byte_buffer& buffer) noexcept {
  const grpc_slice_buffer& slices = buffer.data.raw.slice_buffer;
  message_view seen;
  seen.size = slices.length;
  seen.pieces = static_cast<unsigned>(slices.count);
  if (slices.count != 0) {
    const std::string_view first = view_of(slices.slices[0]);
    seen.first = {first.data(), first.size()};
  }
  seen.state = &slices;
  seen.at = [](const void* state, unsigned index) noexcept -> piece {
    const std::string_view one = view_of(static_cast<const grpc_slice_buffer*>(state)->slices[index]);
    return {one.data(), one.size()};
  };
  return seen;
}

/// The engine's mark on payloads that are its own.
inline constexpr char payload_mark = 0;

/// A received message as a payload.
class buffer_block final : public rill::detail::payload_block {
 public:
  /// Takes `buffer` over.
  explicit buffer_block(grpc_byte_buffer* buffer) noexcept
      : payload_block{buffer->data.raw.slice_buffer.length, &payload_mark}, buffer_{buffer} {}
  ~buffer_block() override { grpc_byte_buffer_destroy(buffer_); }

  [[nodiscard]] unsigned pieces() const noexcept override {
    return static_cast<unsigned>(buffer_->data.raw.slice_buffer.count);
  }
  [[nodiscard]] piece at(unsigned index) const noexcept override {
    const std::string_view one = view_of(buffer_->data.raw.slice_buffer.slices[index]);
    return {one.data(), one.size()};
  }
  void append_to(grpc_slice_buffer& out) const noexcept {
    const grpc_slice_buffer& slices = buffer_->data.raw.slice_buffer;
    for (std::size_t i = 0; i < slices.count; ++i)
      grpc_slice_buffer_add(&out, grpc_slice_ref(slices.slices[i]));
  }

 private:
  grpc_byte_buffer* buffer_;
};

/// Adds a payload's bytes to `out` without copying them, except once per payload of another engine.
inline void append_payload(rill::detail::payload_block& block, grpc_slice_buffer& out) {
  if (block.engine() == &payload_mark) {
    static_cast<const buffer_block&>(block).append_to(out);
    return;
  }
  const auto make = [](rill::detail::payload_block& from) -> void* {
    grpc_slice slice;
    if (auto* flat = dynamic_cast<rill::detail::flat_block*>(&from); flat != nullptr && flat->size() != 0) {
      char* storage = flat->hand_over();
      slice = grpc_slice_new_with_user_data(
          storage, flat->size(), [](void* bytes) { delete[] static_cast<char*>(bytes); }, storage);
    } else {
      slice = grpc_slice_malloc(from.size());
      char* to = reinterpret_cast<char*>(GRPC_SLICE_START_PTR(slice));
      for (unsigned i = 0; i < from.pieces(); ++i) {
        const piece one = from.at(i);
        to = std::char_traits<char>::copy(to, one.data, one.size) + one.size;
      }
    }
    return new grpc_slice{slice};
  };
  const auto release = [](void* slot) noexcept {
    grpc_slice_unref(*static_cast<grpc_slice*>(slot));
    delete static_cast<grpc_slice*>(slot);
  };
  void* const slot = block.slot(&payload_mark, release, make);
  grpc_slice_buffer_add(&out, grpc_slice_ref(*static_cast<grpc_slice*>(slot)));
}

inline gpr_timespec time_of(std::int64_t steady_nanoseconds) noexcept {
  if (steady_nanoseconds == rill::detail::never) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  return gpr_time_from_nanos(steady_nanoseconds, GPR_CLOCK_MONOTONIC);
}

/// gRPC's monotonic time as nanoseconds of the steady clock. A peer may name a deadline thousands of years away: what
/// the clock cannot tell any more is never.
inline std::int64_t steady_from(gpr_timespec deadline) noexcept {
  constexpr std::int64_t second = 1'000'000'000;
  const gpr_timespec steady = gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC);
  if (steady.tv_sec >= rill::detail::never / second) return rill::detail::never;
  if (steady.tv_sec < 0) return 0;  // before the clock began
  return steady.tv_sec * second + steady.tv_nsec;
}

/// A unary request's bytes, as gRPC hands them over with the call.
struct request_bytes {
  grpc_byte_buffer* buffer = nullptr;
};

inline const char* algorithm_name(compression algorithm) noexcept {
  switch (algorithm) {
    case compression::deflate:
      return "deflate";
    case compression::gzip:
      return "gzip";
    default:
      return "identity";
  }
}

inline grpc_compression_algorithm algorithm_of(compression algorithm) noexcept {
  switch (algorithm) {
    case compression::deflate:
      return GRPC_COMPRESS_DEFLATE;
    case compression::gzip:
      return GRPC_COMPRESS_GZIP;
    default:
      return GRPC_COMPRESS_NONE;
  }
}

/// Keys that rill sets itself.
inline constexpr char compression_key[] = "grpc-internal-encoding-request";
inline constexpr char details_key[] = "grpc-status-details-bin";

}  // namespace rill::cq

template <>
class grpc::SerializationTraits<rill::cq::request_bytes, void> {
 public:
  static grpc::Status Deserialize(grpc_byte_buffer* received, rill::cq::request_bytes* into) {
    into->buffer = received;
    return {};
  }
};
