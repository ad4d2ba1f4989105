#include "client/cli/tree.hpp"

#include <sstream>

#include "base/units.hpp"

namespace square::cli {

namespace {

// A size or duration becomes a plain number, for the variable behind the option.
const CLI::Validator kSize(
    [](std::string& text) {
      const auto size = parse_size(text);
      if (!size.ok()) return size.error().message;
      text = std::to_string(*size);
      return std::string();
    },
    "SIZE");

const CLI::Validator kDuration(
    [](std::string& text) {
      const auto duration = parse_duration(text);
      if (!duration.ok()) return duration.error().message;
      text = std::to_string(duration->count());
      return std::string();
    },
    "DURATION");

constexpr const char* kExample = "  ";

}  // namespace

CommandTree::CommandTree() : app_("The command line of a Square cell.", "square") {
  app_.add_option("--config", globals_.config_file,
                  "client.toml (else $SQUARE_CONFIG, ~/.config/square/client.toml, "
                  "/etc/square/client.toml)");
  app_.add_flag("--json", globals_.json, "stdout is exactly one JSON document (--watch: a line)");
  app_.add_flag("--yes", globals_.yes, "answer questions with yes");
  app_.set_version_flag("--version", std::string("square 0.1.0"));
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.footer(
      "Examples:\n"
      "  square playground up /tmp/cell\n"
      "  export SQUARE_CONFIG=/tmp/cell/client.toml\n"
      "  square volume create orders --size 10GiB\n"
      "  square volume import orders disk.img\n"
      "  square snapshot create orders --name before-upgrade\n"
      "  square health\n\n"
      "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable or timed\n"
      "out with nothing done, 6 outcome unknown; health: 7 degraded, 8 at risk; 124: the\n"
      "--timeout of a wait is over, and what was waited for goes on.");
  add_playground();
  add_volume();
  add_content();
  add_snapshot();
  add_disk();
  add_pool();
  add_operations();
  add_cell();
}

void CommandTree::parse(int argc, const char* const* argv) { app_.parse(argc, argv); }

std::optional<std::chrono::nanoseconds> CommandTree::watch() const {
  if (!watch_) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(watch_ns_));
}

namespace {

void collect(CLI::App& app, const std::string& path, std::vector<CommandTree::Help>& out) {
  const auto below = app.get_subcommands([](CLI::App*) { return true; });
  for (auto* child : below)
    collect(*child, path.empty() ? child->get_name() : path + " " + child->get_name(), out);
  if (!below.empty()) return;
  CommandTree::Help help{path, {}};
  std::istringstream lines(app.get_footer());
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(kExample)) help.examples.push_back(line.substr(2));
  out.push_back(std::move(help));
}

}  // namespace

std::vector<CommandTree::Help> CommandTree::helps() {
  std::vector<Help> out;
  collect(app_, "", out);
  return out;
}

CLI::App* CommandTree::group(const std::string& name, const std::string& about) {
  auto* command = app_.add_subcommand(name, about);
  command->require_subcommand(1);
  command->fallthrough();
  command->footer("Example: square " + name + " COMMAND --help");
  return command;
}

CLI::App* CommandTree::command(CLI::App* parent, const std::string& name, const std::string& about,
                               const std::string& examples, Action action) {
  auto* added = parent->add_subcommand(name, about);
  added->fallthrough();
  std::string footer = examples.find('\n') == std::string::npos ? "Example:" : "Examples:";
  std::istringstream lines(examples);
  for (std::string line; std::getline(lines, line);) footer += "\n" + (kExample + line);
  added->footer(footer);
  added->callback([this, action = std::move(action)] { action_ = action; });
  return added;
}

void CommandTree::watchable(CLI::App* command) {
  auto* watch = command->add_flag("--watch", watch_, "again and again, until interrupted");
  command->add_option("--interval", watch_ns_, "pause of --watch (2 s)")
      ->transform(kDuration)
      ->needs(watch);
}

void CommandTree::name_of(CLI::App* command) {
  command->add_option("NAME", name_, "the volume")->required();
}

void CommandTree::node_option(CLI::App* command) {
  command->add_option("--node", node_, "of this node");
}

void CommandTree::timeout_option(CLI::App* command) {
  command->add_option("--timeout", wait_.timeout_ns, "wait no longer, such as 30s; exit 124")
      ->transform(kDuration);
}

void CommandTree::wait_options(CLI::App* command, const std::string& help) {
  auto* wait = command->add_flag("--wait", wait_.wait, help);
  timeout_option(command);
  command->get_option("--timeout")->needs(wait);
}

void CommandTree::size_option(CLI::App* command, const std::string& flag, std::uint64_t& into,
                              const std::string& about, bool required) {
  command->add_option(flag, into, about)->transform(kSize)->required(required);
}

void CommandTree::add_playground() {
  auto* parent = group("playground", "a whole cell on this machine, for trying and testing");
  auto* up = command(parent, "up", "make what is missing in DIR and start everything",
                     "square playground up /tmp/cell\n"
                     "square playground up /tmp/cell --disks 12 --disk-size 1GiB",
                     plain([this](Context& c) { return playground_up(c, up_); }));
  up->add_option("DIR", up_.folder, "everything is in here")->required();
  up->add_option("--roles", up_.roles, "nodes, such as primary,replica,backup,remote")
      ->delimiter(',')
      ->check(CLI::IsMember({"primary", "replica", "backup", "remote"}));
  up->add_option("--spares", up_.spares, "spare servers");
  auto* disks = up->add_option("--disks", up_.disks, "of each node: 8 + 2, the others spares");
  size_option(up, "--disk-size", up_.disk_size_bytes, "sparse files of this size", false);
  up->add_option("--coordinator", up_.coordinator, "who decides which node is primary")
      ->check(CLI::IsMember({"embedded", "etcd"}));
  up->parse_complete_callback([this, up, disks] {
    up_.shape_given = disks->count() > 0 || up->get_option("--disk-size")->count() > 0;
  });
  auto* ps =
      command(parent, "ps", "what there is, and what runs", "square playground ps /tmp/cell --json",
              plain([this](Context& c) { return playground_ps(c, folder_); }));
  auto* kill =
      command(parent, "kill", "send a node a signal",
              "square playground kill /tmp/cell n1\n"
              "square playground kill /tmp/cell n1 --signal STOP",
              plain([this](Context& c) { return playground_kill(c, folder_, node_, signal_); }));
  auto* start = command(parent, "start", "start a node that was killed",
                        "square playground start /tmp/cell n1",
                        plain([this](Context& c) { return playground_start(c, folder_, node_); }));
  auto* down =
      command(parent, "down", "stop everything; the data stays", "square playground down /tmp/cell",
              plain([this](Context& c) { return playground_down(c, folder_); }));
  for (auto* one : {ps, kill, start, down})
    one->add_option("DIR", folder_, "the playground")->required();
  for (auto* one : {kill, start}) one->add_option("NODE", node_, "n1, n2...")->required();
  kill->add_option("--signal", signal_, "KILL unless said otherwise")
      ->check(CLI::IsMember({"KILL", "TERM", "STOP", "CONT", "INT", "HUP"}));
}

void CommandTree::add_volume() {
  volume_ = group("volume", "block volumes");
  auto* create = command(volume_, "create", "a new volume",
                         "square volume create orders --size 10GiB\n"
                         "square volume create logs --size 1TiB --extent 256KiB",
                         plain([this](Context& c) { return volume_create(c, create_); }));
  create->add_option("NAME", create_.name, "letters, digits, . _ -")->required();
  size_option(create, "--size", create_.size_bytes, "such as 10GiB", true);
  size_option(create, "--extent", create_.extent_bytes, "4KiB to 1MiB", false);
  create->add_option("--group", create_.group, "replication group");
  auto* ls = command(volume_, "ls", "all volumes", "square volume ls\nsquare volume ls --deleted",
                     plain([this](Context& c) { return volume_ls(c, deleted_); }));
  ls->add_flag("--deleted", deleted_, "deleted ones too");
  auto* show = command(volume_, "show", "one volume", "square volume show orders",
                       plain([this](Context& c) { return volume_show(c, name_); }));
  auto* resize =
      command(volume_, "resize", "make it larger", "square volume resize orders --size 20GiB",
              plain([this](Context& c) { return volume_resize(c, name_, size_); }));
  auto* rm =
      command(volume_, "rm", "delete; undelete brings it back for a while",
              "square volume rm orders", plain([this](Context& c) { return volume_rm(c, name_); }));
  auto* undelete =
      command(volume_, "undelete", "bring a deleted volume back", "square volume undelete orders",
              plain([this](Context& c) { return volume_undelete(c, name_); }));
  auto* purge = command(volume_, "purge", "free a deleted volume now and for good",
                        "square volume purge orders\nsquare volume purge orders --yes",
                        plain([this](Context& c) { return volume_purge(c, name_); }));
  for (auto* one : {show, resize, rm, undelete, purge}) name_of(one);
  for (auto* one : {ls, show}) watchable(one);
  size_option(resize, "--size", size_, "the new size", true);
}

void CommandTree::add_content() {
  auto* in = command(volume_, "import", "fill from a file; - is stdin",
                     "square volume import orders disk.img\n"
                     "zstd -dc disk.img.zst | square volume import orders -",
                     plain([this](Context& c) { return volume_import(c, name_, file_); }));
  auto* out = command(volume_, "export", "copy to a file, holes kept; - is stdout",
                      "square volume export orders disk.img\n"
                      "square volume export orders - --snapshot 1-4711 | zstd > orders.zst",
                      plain([this](Context& c) { return volume_export(c, name_, file_, point_); }));
  auto* write = command(volume_, "write", "write stdin at an offset",
                        "square volume write orders --offset 1MiB < block",
                        plain([this](Context& c) { return volume_write(c, name_, offset_); }));
  auto* read = command(
      volume_, "read", "read a range to stdout",
      "square volume read orders --offset 1MiB --length 4KiB | xxd",
      plain([this](Context& c) { return volume_read(c, name_, offset_, length_, point_); }));
  auto* trim =
      command(volume_, "trim", "a range reads as zeros; its space comes back",
              "square volume trim orders --offset 0 --length 1GiB",
              plain([this](Context& c) { return volume_trim(c, name_, offset_, length_); }));
  auto* hash = command(volume_, "hash", "SHA-256 of the content",
                       "square volume hash orders\nsquare volume hash orders --snapshot 1-4711",
                       plain([this](Context& c) { return volume_hash(c, name_, point_); }));
  for (auto* one : {in, out, write, read, trim, hash}) name_of(one);
  for (auto* one : {in, out}) one->add_option("FILE", file_, "a path, or -")->required();
  for (auto* one : {write, read, trim}) size_option(one, "--offset", offset_, "bytes", true);
  for (auto* one : {read, trim}) size_option(one, "--length", length_, "bytes", true);
  for (auto* one : {out, read, hash})
    one->add_option("--snapshot", point_.snapshot, "as of this snapshot (square snapshot ls)");
  for (auto* one : {out, hash})
    one->add_option("--point", point_.point, "as of this restore point of a backup or remote")
        ->excludes(one->get_option("--snapshot"));
  out->add_option("--from", point_.from, "whose restore point")
      ->check(CLI::IsMember({"backup", "remote"}))
      ->needs(out->get_option("--point"));
}

void CommandTree::add_snapshot() {
  auto* parent = group("snapshot", "the state of volumes at one moment");
  auto* create =
      command(parent, "create", "of the volumes' whole group",
              "square snapshot create orders --name before-upgrade\n"
              "square snapshot create orders ledger",
              plain([this](Context& c) { return snapshot_create(c, volumes_, snapshot_name_); }));
  create->add_option("VOLUME", volumes_, "what it is about")->required();
  create->add_option("--name", snapshot_name_, "for people");
  watchable(command(parent, "ls", "all snapshots", "square snapshot ls",
                    plain([](Context& c) { return snapshot_ls(c); })));
  auto* rm = command(parent, "rm", "drop one", "square snapshot rm 1-4711",
                     plain([this](Context& c) { return snapshot_rm(c, snapshot_); }));
  rm->add_option("ID", snapshot_, "as snapshot ls shows it")->required();
}

void CommandTree::add_disk() {
  auto* parent = group("disk", "disks of the nodes");
  auto* ls = command(parent, "ls", "all disks", "square disk ls\nsquare disk ls --node n1 --watch",
                     plain([this](Context& c) { return disk_ls(c, node_); }));
  node_option(ls);
  watchable(ls);
  auto* fail = command(parent, "fail", "take a disk out now", "square disk fail n1 3",
                       plain([this](Context& c) { return disk_fail(c, node_, slot_); }));
  auto* retire =
      command(parent, "retire", "let a spare take the place of a disk that still works",
              "square disk retire n1 3\nsquare disk retire n1 3 --wait --timeout 12h",
              [this](Context& c, int* exit) { return disk_retire(c, node_, slot_, wait_, exit); });
  auto* replace = command(
      parent, "replace", "put a new disk, or a spare, in the place of one that works or not",
      "square disk replace n1 3 /dev/disk/by-id/scsi-35000c500a1b2c3d4\n"
      "square disk replace n1 3 --wait",
      [this](Context& c, int* exit) { return disk_replace(c, node_, slot_, file_, wait_, exit); });
  auto* pull = command(parent, "ok-to-pull", "may this disk be pulled? exit 0 or 4",
                       "square disk ok-to-pull n1 3",
                       plain([this](Context& c) { return disk_ok_to_pull(c, node_, slot_); }));
  for (auto* one : {fail, retire, replace, pull}) {
    one->add_option("NODE", node_, "n1, n2...")->required();
    one->add_option("SLOT", slot_, "as disk ls shows it")->required();
  }
  replace->add_option("NEWPATH", file_, "the new disk, on the node; without it a spare is taken");
  for (auto* one : {retire, replace}) wait_options(one, "until it is done");
  auto* add = command(parent, "add", "a new disk, as a spare",
                      "square disk add n1 /dev/disk/by-id/scsi-35000c500a1b2c3d4",
                      plain([this](Context& c) { return disk_add(c, node_, file_); }));
  auto* wipe = command(parent, "wipe", "make a foreign disk usable: what it holds is gone",
                       "square disk wipe n1 /dev/disk/by-id/scsi-35000c500a1b2c3d4",
                       plain([this](Context& c) { return disk_wipe(c, node_, file_); }));
  for (auto* one : {add, wipe}) {
    one->add_option("NODE", node_, "n1, n2...")->required();
    one->add_option("PATH", file_, "on the node")->required();
  }
}

void CommandTree::add_pool() {
  auto* parent = group("pool", "a node's disks as one");
  auto* status = command(parent, "status", "redundancy, space, repairs",
                         "square pool status\nsquare pool status --watch",
                         plain([this](Context& c) { return pool_status(c, node_); }));
  watchable(status);
  auto* check = command(parent, "check", "index against pool and journal; exit 1 on a difference",
                        "square pool check",
                        [this](Context& c, int* exit) { return pool_check(c, node_, exit); });
  auto* scrub =
      command(parent, "scrub", "read and verify every live strip, repair what is bad",
              "square pool scrub\nsquare pool scrub --wait --timeout 2h",
              [this](Context& c, int* exit) { return pool_scrub(c, node_, wait_, exit); });
  wait_options(scrub, "until it is done; exit 0 when clean or repaired");
  auto* checkpoint =
      command(parent, "checkpoint", "write the index into the pool now", "square pool checkpoint",
              plain([this](Context& c) { return pool_checkpoint(c, node_); }));
  for (auto* one : {status, check, scrub, checkpoint}) node_option(one);
}

void CommandTree::add_operations() {
  auto* parent = group("op", "long operations, which go on after their command and after restarts");
  auto* ls = command(parent, "ls", "those that run, and the last that ended",
                     "square op ls\nsquare op ls --watch",
                     plain([this](Context& c) { return op_ls(c, node_); }));
  node_option(ls);
  auto* show = command(parent, "show", "one operation", "square op show scrub-1f03a9c2",
                       plain([this](Context& c) { return op_show(c, id_); }));
  auto* wait = command(parent, "wait", "until it has ended; exit 0 when it is done",
                       "square op wait scrub-1f03a9c2 --timeout 30min",
                       [this](Context& c, int* exit) { return op_wait(c, id_, wait_, exit); });
  auto* cancel = command(parent, "cancel", "end it early", "square op cancel scrub-1f03a9c2",
                         plain([this](Context& c) { return op_cancel(c, id_); }));
  for (auto* one : {show, wait, cancel})
    one->add_option("ID", id_, "as the command printed it")->required();
  for (auto* one : {ls, show}) watchable(one);
  timeout_option(wait);
}

void CommandTree::add_cell() {
  watchable(command(&app_, "status", "the cell on one page",
                    "square status\nsquare status --watch --interval 10s",
                    plain([](Context& c) { return status(c); })));
  watchable(command(&app_, "health", "is all well? exit 0, 7 degraded, 8 at risk",
                    "square health\nsquare health --json",
                    [](Context& c, int* exit) { return health(c, exit); }));
  watchable(command(group("node", "the cell's nodes"), "ls", "all nodes", "square node ls",
                    plain([](Context& c) { return node_ls(c); })));
  watchable(command(group("group", "replication groups"), "ls", "all groups", "square group ls",
                    plain([](Context& c) { return group_ls(c); })));
  auto* shell = command(&app_, "completions", "for your shell, to be read by it",
                        "square completions bash > /etc/bash_completion.d/square\n"
                        "square completions zsh > /usr/local/share/zsh/site-functions/_square\n"
                        "square completions fish > ~/.config/fish/completions/square.fish",
                        plain([this](Context&) -> Result<> {
                          SQ_TRY(const auto text, completions(app_, shell_));
                          std::fputs(text.c_str(), stdout);
                          return {};
                        }));
  shell->add_option("SHELL", shell_, "which")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

}  // namespace square::cli
