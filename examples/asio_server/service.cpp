#include "service.hpp"

#include "store.grpc.pb.h"

#include <rill/asio.hpp>

#include <string>
#include <utility>

using namespace store::v1;

namespace {

Entry entry(std::string key, std::string value) {
  Entry made;
  made.set_key(std::move(key));
  made.set_value(std::move(value));
  return made;
}

}  // namespace

void add_store_service(rill::server& server, const asio::any_io_executor& strand, shared_store& shared) {
  server.handle<&Store::Service::Get>(rill::on(strand, [&shared](Key request) -> rill::task<Entry> {
    const std::string* found = shared.get(request.key());
    if (found == nullptr) throw rill::status_error{rill::status_code::NOT_FOUND, "no such key"};
    co_return entry(request.key(), *found);
  }));

  server.handle<&Store::Service::Set>(rill::on(strand, [&shared](Entry request) -> rill::task<Entry> {
    shared.set(request.key(), request.value());
    co_return request;
  }));

  server.handle<&Store::Service::Watch>(rill::on(
      strand,
      [&shared](rill::server_context& context, WatchRequest, rill::writer<Entry>& out) -> rill::task<> {
        auto changes = shared.watch();
        const auto known = shared.all();  // a copy: it may change while the writes below wait
        for (const auto& [key, value] : known) co_await out.write(entry(key, value));
        co_await context.send_initial_metadata();
        while (auto next = co_await changes.receive()) {
          co_await out.write(entry(std::move(next->key), std::move(next->value)));
        }
        throw rill::status_error{rill::status_code::RESOURCE_EXHAUSTED, "too slow for the changes"};
      }));
}
