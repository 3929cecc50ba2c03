// upload: sends a file to an upload_server.
#include "../bytes.hpp"
#include "../flags.hpp"
#include "../sha256.hpp"
#include "local_file.hpp"
#include "send.hpp"

#include <rill/client/client.hpp>
#include <rill/coro/sync_wait.hpp>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

namespace {

constexpr const char* usage = R"(upload [flags] FILE: sends FILE to an upload_server
  --server TARGET       default 127.0.0.1:50053
  --as NAME             the file's name on the server; default its own
  --limit-rate BYTES    a second, such as 500K or 20M
  --chunk BYTES         of one message; default 64K
  --retries COUNT       attempts in a row that may fail; default 5
Run it again after it was interrupted: it goes on where it was.
)";

int send(int argc, char** argv) {
  upload::flags flags{argc, argv};
  if (flags.take_switch("help")) return std::fputs(usage, stdout) < 0;
  const std::string target = flags.take("server", "127.0.0.1:50053");
  std::string name = flags.take("as");
  upload::send_options options;
  options.rate = flags.take_number("limit-rate", options.rate);
  options.chunk = static_cast<std::size_t>(flags.take_number("chunk", options.chunk));
  options.retries = static_cast<unsigned>(flags.take_number("retries", options.retries));
  if (options.chunk == 0 || options.chunk > 1'000'000)
    throw upload::flag_error{"--chunk must be 1 to 1000000"};
  const std::vector<std::string> files = flags.rest();
  if (files.size() != 1) throw upload::flag_error{"name one file"};
  if (name.empty()) name = std::filesystem::path{files.front()}.filename().string();

  const upload::local_file file{files.front()};
  const rill::client client{target};
  const std::string sha256 = rill::sync_wait(upload::send_file(client, file, name, options));
  std::printf("%s is stored: %s, sha256 %s\n", name.c_str(), upload::readable(file.size()).c_str(),
              sha256.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    upload::load_sha256();
    return send(argc, argv);
  } catch (const upload::flag_error& error) {
    std::fprintf(stderr, "upload: %s\n\n%s", error.what(), usage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "upload: %s\n", error.what());
    return 1;
  }
}
