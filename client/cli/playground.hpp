#pragma once
// A cell on this machine: real processes on 127.0.0.1, real TLS by an authority of its own, disks
// in sparse files. Everything is in one folder:
//
//   DIR/playground.json     what there is, and at which ports
//   DIR/client.toml         for square --config
//   DIR/tls/                authority and certificates
//   DIR/n1/squared.toml, squared.log, state/, keys/, disks/

#include "client/cli/context.hpp"

namespace square::cli {

struct PlaygroundUp {
  std::string folder;
  std::vector<std::string> roles{"primary"};
  unsigned spares = 0;
  unsigned disks = 12;
  std::uint64_t disk_size_bytes = 1ull << 30;
  std::string coordinator = "embedded";
  bool shape_given = false;  // disks or their size were asked for
};
Result<> playground_up(Context& context, const PlaygroundUp& args);
Result<> playground_ps(Context& context, const std::string& folder);
Result<> playground_kill(Context& context, const std::string& folder, const std::string& node,
                         const std::string& signal);
Result<> playground_start(Context& context, const std::string& folder, const std::string& node);
Result<> playground_down(Context& context, const std::string& folder);

}  // namespace square::cli
