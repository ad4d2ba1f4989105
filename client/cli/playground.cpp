#include "client/cli/playground.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "base/units.hpp"
#include "client/cli/process.hpp"
#include "env/real/asio_loop.hpp"
#include "env/real/pki.hpp"
#include "env/real/posix_files.hpp"
#include "env/real/system_random.hpp"

namespace square::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kDiskBytesMin = 256u << 20;
constexpr auto kReadyPatience = std::chrono::seconds(120);
constexpr auto kStopPatience = std::chrono::seconds(60);
constexpr int kCertificateDays = 3650;

struct PlaygroundNode {
  std::string name, role, data, control, http;
};

// One playground's folder, and what playground.json says.
class Playground {
 public:
  // Errors: kNotFound (no playground there).
  static Result<Playground> open(const std::string& folder) {
    Playground playground(folder);
    SQ_TRY(playground.load());
    return playground;
  }
  static bool exists(const std::string& folder) { return fs::exists(folder + "/playground.json"); }
  static Result<Playground> create(const PlaygroundUp& args);

  const std::vector<PlaygroundNode>& nodes() const { return nodes_; }
  Result<const PlaygroundNode*> node(const std::string& name) const {
    const auto found = std::ranges::find(nodes_, name, &PlaygroundNode::name);
    if (found != nodes_.end()) return &*found;
    return Error{Code::kNotFound, "no node \"" + name + "\" in " + folder_};
  }
  std::string home(const PlaygroundNode& node) const { return folder_ + "/" + node.name; }
  std::string config(const PlaygroundNode& node) const { return home(node) + "/squared.toml"; }
  std::string log(const PlaygroundNode& node) const { return home(node) + "/squared.log"; }
  std::string pid_file(const PlaygroundNode& node) const { return home(node) + "/squared.pid"; }
  std::optional<int> pid(const PlaygroundNode& node) const {
    return running_pid(pid_file(node), config(node));
  }
  std::vector<std::string> disks(const PlaygroundNode& node) const;
  // Returns when it serves. Nothing to do when it runs.
  Result<> start(const PlaygroundNode& node) const;
  Result<> wait_ready(const PlaygroundNode& node) const;
  // Formats the nodes that have not been yet.
  Result<> finish() const;

 private:
  explicit Playground(const std::string& folder)
      : folder_(fs::absolute(folder).lexically_normal().string()) {
    while (folder_.size() > 1 && folder_.ends_with('/')) folder_.pop_back();
  }
  Result<> load();
  Result<> make(const PlaygroundUp& args);
  Result<> make_certificates(const std::string& cell);
  Result<> make_disks(const PlaygroundNode& node, const PlaygroundUp& args);
  Result<> write_node_config(const PlaygroundNode& node, const std::string& cell,
                             const PlaygroundUp& args);
  Result<> write_text(const std::string& path, const std::string& text);

  std::string folder_;
  std::vector<PlaygroundNode> nodes_;
  env::PosixFiles files_;
  env::SystemRandom random_;
};

Result<> Playground::write_text(const std::string& path, const std::string& text) {
  return files_.write_atomic(path, as_bytes(text));
}

Result<> Playground::load() {
  auto bytes = files_.read(folder_ + "/playground.json", 1u << 20);
  if (bytes.failed_with(Code::kNotFound))
    return Error{Code::kNotFound, "there is no playground in " + folder_};
  if (!bytes.ok()) return std::move(bytes).error().context("read the playground");
  const auto document = Json::parse(as_text(*bytes), nullptr, false);
  if (!document.is_object() || !document.contains("nodes"))
    return Error{Code::kCorrupt, folder_ + "/playground.json is not what a playground wrote"};
  for (const auto& node : document["nodes"])
    nodes_.push_back({node.value("name", ""), node.value("role", ""), node.value("data", ""),
                      node.value("control", ""), node.value("http", "")});
  return {};
}

// An interrupted creation leaves no playground.json: it is written last, and the next run makes
// everything anew.
Result<Playground> Playground::create(const PlaygroundUp& args) {
  Playground playground(args.folder);
  SQ_TRY(playground.make(args));
  return playground;
}

Result<> Playground::make(const PlaygroundUp& args) {
  const auto cell = random_.uuid().to_string();
  SQ_TRY(files_.make_folder(folder_));
  PlaygroundNode node{"n1", "primary", "", "", ""};
  std::set<int> ports;  // nobody listens yet: the same one may be found twice
  for (auto* address : {&node.data, &node.control, &node.http}) {
    SQ_TRY(int port, free_port());
    while (!ports.insert(port).second) {
      SQ_TRY(port, free_port());
    }
    *address = "127.0.0.1:" + std::to_string(port);
  }
  nodes_ = {node};
  SQ_TRY(make_certificates(cell));
  auto list = Json::array();
  for (const auto& n : nodes_) {
    SQ_TRY(make_disks(n, args));
    SQ_TRY(write_node_config(n, cell, args));
    list.push_back({{"name", n.name},
                    {"role", n.role},
                    {"data", n.data},
                    {"control", n.control},
                    {"http", n.http}});
  }
  SQ_TRY(write_text(folder_ + "/client.toml",
                    "cell = \"" + cell + "\"\ndata = [\"" + node.data + "\"]\ncontrol = [\"" +
                        node.control +
                        "\"]\n\n[tls]\nca = \"tls/ca.crt\"\ncertificate = \"tls/operator.crt\"\n"
                        "key = \"tls/operator.key\"\n"));
  return write_text(folder_ + "/playground.json",
                    Json{{"cell", cell}, {"nodes", std::move(list)}}.dump(2) + "\n");
}

Result<> Playground::make_certificates(const std::string& cell) {
  SQ_TRY(files_.make_folder(folder_ + "/tls"));
  const env::WallTime now{std::chrono::duration_cast<std::chrono::nanoseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count()};
  const auto validity = env::Validity::days(now, kCertificateDays);
  SQ_TRY(const auto authority, env::make_authority("Square playground " + cell, validity));
  SQ_TRY(env::write_certificate_pair(files_, folder_ + "/tls/ca", authority));
  const auto issue = [&](const std::string& file, const std::string& subject) -> Result<> {
    env::CertificateOrder order{
        env::identity_uri(cell, subject), {"localhost"}, {"127.0.0.1"}, validity};
    SQ_TRY(const auto pair, env::issue_certificate(authority, order));
    return env::write_certificate_pair(files_, folder_ + "/tls/" + file, pair);
  };
  SQ_TRY(issue("operator", "operator/playground"));
  SQ_TRY(issue("client", "client/playground"));
  for (const auto& node : nodes_) SQ_TRY(issue(node.name, "node/" + node.name));
  return {};
}

Result<> Playground::make_disks(const PlaygroundNode& node, const PlaygroundUp& args) {
  const auto folder = home(node) + "/disks";
  SQ_TRY(files_.remove_tree(home(node)));
  SQ_TRY(files_.make_folder(folder));
  for (unsigned i = 0; i < args.disks; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "/disk%02u.img", i);
    const auto path = folder + name;
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const bool ok = fd >= 0 && ftruncate(fd, static_cast<off_t>(args.disk_size_bytes)) == 0;
    if (fd >= 0) ::close(fd);
    if (!ok) return Error{Code::kIo, "cannot make the disk " + path};
  }
  return {};
}

Result<> Playground::write_node_config(const PlaygroundNode& node, const std::string& cell,
                                       const PlaygroundUp& args) {
  const auto q = [](const std::string& text) { return "\"" + text + "\"\n"; };
  const auto base = home(node);
  // Ten disks carry 8 + 2; fewer carry what they can, always with two for parity.
  const unsigned data_disks = args.disks >= 10 ? 8 : args.disks - 2;
  return write_text(
      config(node),
      "[node]\nname = " + q(node.name) + "id = " + q(random_.uuid().to_string()) + "cell = " +
          q(cell) + "state_dir = " + q(base + "/state") + "keys_dir = " + q(base + "/keys") +
          "\n[listen]\ndata = " + q(node.data) + "control = " + q(node.control) +
          "http = " + q(node.http) + "\n[tls]\nca = " + q(folder_ + "/tls/ca.crt") +
          "certificate = " + q(folder_ + "/tls/" + node.name + ".crt") +
          "key = " + q(folder_ + "/tls/" + node.name + ".key") + "\n[pool]\ndisks = [\"" + base +
          "/disks/*.img\"]\ndata_disks = " + std::to_string(data_disks) + "\nparity_disks = 2\n");
}

std::vector<std::string> Playground::disks(const PlaygroundNode& node) const {
  std::vector<std::string> paths;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(home(node) + "/disks", ignored))
    paths.push_back(entry.path().string());
  std::ranges::sort(paths);
  return paths;
}

Result<> Playground::finish() const {
  for (const auto& node : nodes_) {
    const auto done = home(node) + "/formatted";
    if (fs::exists(done)) continue;
    SQ_TRY(
        run_process({own_folder() + "/squared", "--format", "--config", config(node)}, log(node)));
    std::ofstream(done) << "yes\n";
  }
  return {};
}

Result<> Playground::wait_ready(const PlaygroundNode& node) const {
  const auto end = std::chrono::steady_clock::now() + kReadyPatience;
  while (http_status(node.http, "/readyz") != 200) {
    if (!pid(node))
      return Error{Code::kUnavailable, node.name + " ended at once:\n" + tail(log(node))};
    if (std::chrono::steady_clock::now() > end)
      return Error{Code::kTimeout, node.name + " is not ready yet:\n" + tail(log(node))};
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return {};
}

Result<> Playground::start(const PlaygroundNode& node) const {
  if (const auto running = pid(node))
    SQ_TRY(send_signal(*running, SIGCONT));  // it may have been stopped by SIGSTOP
  else
    SQ_TRY(start_process({own_folder() + "/squared", "--config", config(node)}, log(node),
                         pid_file(node)));
  return wait_ready(node);
}

Json view(const Playground& playground) {
  auto rows = Json::array();
  for (const auto& node : playground.nodes()) {
    const auto pid = playground.pid(node);
    rows.push_back({{"node", node.name},
                    {"role", node.role},
                    {"pid", pid ? Json(*pid) : Json(nullptr)},
                    {"running", pid.has_value()},
                    {"address", node.data},
                    {"control", node.control},
                    {"http", node.http},
                    {"state_dir", playground.home(node) + "/state"},
                    {"keys_dir", playground.home(node) + "/keys"},
                    {"config", playground.config(node)},
                    {"log", playground.log(node)},
                    {"disks", playground.disks(node)}});
  }
  return rows;
}

Result<> check(const PlaygroundUp& args) {
  const auto refuse = [](const std::string& what) {
    return Error{Code::kUnsupported,
                 what + " not in this version, which runs one node: square playground up DIR"};
  };
  for (const auto& role : args.roles)
    if (role != "primary") return refuse("the role " + role + " is");
  if (args.roles.size() > 1) return refuse("a second primary is");
  if (args.spares != 0) return refuse("spare servers are");
  if (args.coordinator != "embedded") return refuse("the coordinator " + args.coordinator + " is");
  if (args.disks < 4 || args.disks > 30) return Error{Code::kInvalid, "--disks must be 4 to 30"};
  if (args.disk_size_bytes < kDiskBytesMin || args.disk_size_bytes % 4096 != 0)
    return Error{Code::kInvalid, "--disk-size must be at least 256MiB, in units of 4 KiB"};
  return {};
}

}  // namespace

Result<> playground_up(Context& context, const PlaygroundUp& args) {
  SQ_TRY(check(args));
  const bool known = Playground::exists(args.folder);
  SQ_TRY(const auto playground, known ? Playground::open(args.folder) : Playground::create(args));
  if (known && args.shape_given)
    std::fprintf(stderr, "%s is there already and keeps the disks that it was made with\n",
                 args.folder.c_str());
  SQ_TRY(playground.finish());
  for (const auto& node : playground.nodes()) SQ_TRY(playground.start(node));
  context.show(view(playground), {"node", "role", "pid", "address", "log"});
  context.say("\nuse it by: export SQUARE_CONFIG=" +
              fs::absolute(args.folder + "/client.toml").lexically_normal().string());
  return {};
}

Result<> playground_ps(Context& context, const std::string& folder) {
  SQ_TRY(const auto playground, Playground::open(folder));
  context.show(view(playground), {"node", "role", "pid", "running", "address", "state_dir"});
  return {};
}

Result<> playground_kill(Context& context, const std::string& folder, const std::string& name,
                         const std::string& signal) {
  SQ_TRY(const auto playground, Playground::open(folder));
  SQ_TRY(const auto* node, playground.node(name));
  SQ_TRY(const int number, signal_number(signal));
  const auto pid = playground.pid(*node);
  if (!pid) return Error{Code::kNotFound, name + " does not run"};
  SQ_TRY(send_signal(*pid, number));
  const bool ends = number == SIGKILL || number == SIGTERM || number == SIGINT;
  if (ends && !wait_gone(playground.pid_file(*node), playground.config(*node), kStopPatience))
    return Error{Code::kTimeout, name + " is still there after a minute"};
  context.show(Json{{"node", name}, {"pid", *pid}, {"signal", signal}});
  return {};
}

Result<> playground_start(Context& context, const std::string& folder, const std::string& name) {
  SQ_TRY(const auto playground, Playground::open(folder));
  SQ_TRY(const auto* node, playground.node(name));
  SQ_TRY(playground.start(*node));
  context.show(Json{{"node", name}, {"pid", *playground.pid(*node)}, {"running", true}});
  return {};
}

Result<> playground_down(Context& context, const std::string& folder) {
  SQ_TRY(const auto playground, Playground::open(folder));
  for (const auto& node : playground.nodes()) {
    const auto pid = playground.pid(node);
    if (!pid) continue;
    ignore(send_signal(*pid, SIGCONT), "it may have ended meanwhile");
    ignore(send_signal(*pid, SIGTERM), "it may have ended meanwhile");
    if (wait_gone(playground.pid_file(node), playground.config(node), kStopPatience)) continue;
    std::fprintf(stderr, "%s does not stop; killed\n", node.name.c_str());
    ignore(send_signal(*pid, SIGKILL), "it may have ended meanwhile");
    if (!wait_gone(playground.pid_file(node), playground.config(node), kStopPatience))
      return Error{Code::kTimeout, node.name + " is still there"};
  }
  context.show(Json{{"folder", folder}, {"state", "down"}});
  return {};
}

}  // namespace square::cli
