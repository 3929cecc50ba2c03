// upload_server: receives files into a folder.
#include "../bytes.hpp"
#include "../flags.hpp"
#include "../sha256.hpp"
#include "service.hpp"
#include "upload.grpc.pb.h"

#include <rill/server/server.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

namespace {

constexpr const char* usage = R"(upload_server [flags] FOLDER: receives files into FOLDER
  --listen ADDRESS      default 127.0.0.1:50053; port 0 takes any free port
  --max-size BYTES      of one file, such as 500M; default 10G
  --replace             an upload may replace a finished file of its name
  --idle-limit SECONDS  after which a silent client is given up; default 60
  --keep-days DAYS      after which partial files that nobody touched are deleted; default 7
)";

constexpr std::size_t max_chunk = 1 << 20;

int serve(int argc, char** argv) {
  upload::flags flags{argc, argv};
  if (flags.take_switch("help")) return std::fputs(usage, stdout) < 0;
  const std::string address = flags.take("listen", "127.0.0.1:50053");
  upload::folder_options options;
  options.max_size = flags.take_number("max-size", options.max_size);
  options.replace = flags.take_switch("replace");
  const std::chrono::seconds idle_limit{flags.take_number("idle-limit", 60)};
  const auto keep_days = static_cast<unsigned>(flags.take_number("keep-days", 7));
  const std::vector<std::string> folders = flags.rest();
  if (folders.size() != 1) throw upload::flag_error{"name one folder"};

  upload::folder folder{folders.front(), options};
  if (const unsigned forgotten = folder.forget_older_than(keep_days)) {
    std::printf("deleted %u old partial files\n", forgotten);
  }
  upload::service service{folder, idle_limit};

  // A window of a few chunks a stream: enough to keep a fast network busy, and a bound for a slow disk.
  rill::server server{{.max_receive_size = max_chunk, .stream_window = 2 << 20}};
  server.listen(address);
  server.handle<&upload::v1::Upload::Service::Begin>(service, &upload::service::begin);
  server.handle<&upload::v1::Upload::Service::Send>(service, &upload::service::send);
  server.configure([](grpc::ServerBuilder& builder) {
    // Notices a client whose machine or network is gone, although no connection was closed.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  });
  server.start();
  std::printf("listening on port %d\n", server.port());
  // Uploads that are nearly done get their chance; the others go on where they were when the server is back.
  server.run(std::chrono::seconds{5});
  std::puts("stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    upload::load_sha256();
    return serve(argc, argv);
  } catch (const upload::flag_error& error) {
    std::fprintf(stderr, "upload_server: %s\n\n%s", error.what(), usage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "upload_server: %s\n", error.what());
    return 1;
  }
}
