#include "client/cli/app.hpp"

#include <stdlib.h>

#include <CLI/CLI.hpp>

#include "base/units.hpp"
#include "client/cli/commands.hpp"
#include "client/cli/playground.hpp"

namespace square::cli {

namespace {

// The chosen command, run after parsing, when the globals are known.
using Action = std::function<Result<>(Context&, int* exit)>;

const CLI::Validator kSize(
    [](std::string& text) {
      const auto size = parse_size(text);
      if (!size.ok()) return size.error().message;
      text = std::to_string(*size);
      return std::string();
    },
    "SIZE");

class App {
 public:
  App() : app_("The command line of a Square cell.", "square") {
    app_.add_option("--config", globals_.config_file,
                    "client.toml (else $SQUARE_CONFIG, ~/.config/square/client.toml, "
                    "/etc/square/client.toml)");
    app_.add_flag("--json", globals_.json, "stdout is exactly one JSON document");
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
        "out with nothing done, 6 outcome unknown; health: 7 degraded, 8 at risk.");
    add_playground();
    add_volume();
    add_content();
    add_snapshot();
    add_disk();
    add_pool();
    add_cell();
  }

  int run(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      const int code = app_.exit(error);
      return code == 0 ? 0 : kExitUsage;
    }
    Context context(globals_);
    int exit = 0;
    const auto done = action_(context, &exit);
    return done.ok() ? exit : report(globals_, done.error());
  }

 private:
  CLI::App* group(const std::string& name, const std::string& about) {
    auto* command = app_.add_subcommand(name, about);
    command->require_subcommand(1);
    command->fallthrough();
    return command;
  }
  CLI::App* command(CLI::App* parent, const std::string& name, const std::string& about,
                    Action action) {
    auto* added = parent->add_subcommand(name, about);
    added->fallthrough();
    added->callback([this, action = std::move(action)] { action_ = action; });
    return added;
  }
  // One without an exit code of its own.
  template <class Function>
  static Action plain(Function function) {
    return [function](Context& context, int*) { return function(context); };
  }
  void name_of(CLI::App* command, const std::string& what = "NAME") {
    command->add_option(what, name_, "the volume")->required();
  }
  void size_option(CLI::App* command, const std::string& flag, std::uint64_t& into,
                   const std::string& about, bool required) {
    command->add_option(flag, into, about)->transform(kSize)->required(required);
  }

  void add_playground() {
    auto* parent = group("playground", "a whole cell on this machine, for trying and testing");
    auto* up = command(parent, "up", "make what is missing in DIR and start everything",
                       plain([this](Context& c) { return playground_up(c, up_); }));
    up->add_option("DIR", up_.folder, "everything is in here")->required();
    up->add_option("--roles", up_.roles, "nodes")->delimiter(',');
    up->add_option("--spares", up_.spares, "spare servers");
    up->add_option("--disks", up_.disks, "disks of each node: 8 + 2, the others spares");
    size_option(up, "--disk-size", up_.disk_size_bytes, "sparse files of this size", false);
    up->add_option("--coordinator", up_.coordinator, "embedded")
        ->check(CLI::IsMember({"embedded"}));
    up->footer("Example: square playground up /tmp/cell --disks 12 --disk-size 1GiB");
    auto* ps = command(parent, "ps", "what there is, and what runs",
                       plain([this](Context& c) { return playground_ps(c, folder_); }));
    auto* kill =
        command(parent, "kill", "send a node a signal",
                plain([this](Context& c) { return playground_kill(c, folder_, node_, signal_); }));
    auto* start =
        command(parent, "start", "start a node that was killed",
                plain([this](Context& c) { return playground_start(c, folder_, node_); }));
    auto* down = command(parent, "down", "stop everything; the data stays",
                         plain([this](Context& c) { return playground_down(c, folder_); }));
    for (auto* one : {ps, kill, start, down})
      one->add_option("DIR", folder_, "the playground")->required();
    for (auto* one : {kill, start}) one->add_option("NODE", node_, "n1, n2...")->required();
    kill->add_option("--signal", signal_, "KILL, TERM, STOP, CONT, INT, HUP");
  }

  void add_volume() {
    volume_ = group("volume", "block volumes");
    auto* create = command(volume_, "create", "a new volume",
                           plain([this](Context& c) { return volume_create(c, create_); }));
    create->add_option("NAME", create_.name, "letters, digits, . _ -")->required();
    size_option(create, "--size", create_.size_bytes, "such as 10GiB", true);
    size_option(create, "--extent", create_.extent_bytes, "4KiB to 1MiB", false);
    create->add_option("--group", create_.group, "replication group");
    create->footer("Example: square volume create orders --size 10GiB");
    auto* ls = command(volume_, "ls", "all volumes",
                       plain([this](Context& c) { return volume_ls(c, deleted_); }));
    ls->add_flag("--deleted", deleted_, "deleted ones too");
    name_of(command(volume_, "show", "one volume",
                    plain([this](Context& c) { return volume_show(c, name_); })));
    auto* resize = command(volume_, "resize", "make it larger",
                           plain([this](Context& c) { return volume_resize(c, name_, size_); }));
    name_of(resize);
    size_option(resize, "--size", size_, "the new size", true);
    name_of(command(volume_, "rm", "delete; undelete brings it back for a while",
                    plain([this](Context& c) { return volume_rm(c, name_); })));
    name_of(command(volume_, "undelete", "bring a deleted volume back",
                    plain([this](Context& c) { return volume_undelete(c, name_); })));
  }

  void add_content() {
    auto* in = command(volume_, "import", "fill from a file; - is stdin",
                       plain([this](Context& c) { return volume_import(c, name_, file_); }));
    auto* out =
        command(volume_, "export", "copy to a file, holes kept; - is stdout",
                plain([this](Context& c) { return volume_export(c, name_, file_, snapshot_); }));
    in->footer("Example: square volume import orders disk.img");
    out->footer("Example: square volume export orders - | zstd > orders.zst");
    auto* write = command(volume_, "write", "write stdin at an offset",
                          plain([this](Context& c) { return volume_write(c, name_, offset_); }));
    auto* read = command(volume_, "read", "read a range to stdout", plain([this](Context& c) {
                           return volume_read(c, name_, offset_, length_, snapshot_);
                         }));
    auto* trim =
        command(volume_, "trim", "a range reads as zeros; its space comes back",
                plain([this](Context& c) { return volume_trim(c, name_, offset_, length_); }));
    auto* hash = command(volume_, "hash", "SHA-256 of the content",
                         plain([this](Context& c) { return volume_hash(c, name_, snapshot_); }));
    for (auto* one : {in, out, write, read, trim, hash}) name_of(one);
    for (auto* one : {in, out}) one->add_option("FILE", file_, "a path, or -")->required();
    for (auto* one : {write, read, trim}) size_option(one, "--offset", offset_, "bytes", true);
    for (auto* one : {read, trim}) size_option(one, "--length", length_, "bytes", true);
    for (auto* one : {out, read, hash})
      one->add_option("--snapshot", snapshot_, "as of this snapshot (square snapshot ls)");
  }

  void add_snapshot() {
    auto* parent = group("snapshot", "the state of volumes at one moment");
    auto* create =
        command(parent, "create", "of the volumes' whole group",
                plain([this](Context& c) { return snapshot_create(c, volumes_, snapshot_name_); }));
    create->add_option("VOLUME", volumes_, "what it is about")->required();
    create->add_option("--name", snapshot_name_, "for people");
    command(parent, "ls", "all snapshots", plain([](Context& c) { return snapshot_ls(c); }));
    auto* rm = command(parent, "rm", "drop one",
                       plain([this](Context& c) { return snapshot_rm(c, snapshot_); }));
    rm->add_option("ID", snapshot_, "as snapshot ls shows it")->required();
  }

  void add_disk() {
    auto* parent = group("disk", "disks of the nodes");
    auto* ls =
        command(parent, "ls", "all disks", plain([this](Context& c) { return disk_ls(c, node_); }));
    ls->add_option("--node", node_, "of this node");
    auto* fail = command(parent, "fail", "take a disk out now",
                         plain([this](Context& c) { return disk_fail(c, node_, slot_); }));
    auto* pull = command(parent, "ok-to-pull", "may this disk be pulled? exit 0 or 4",
                         plain([this](Context& c) { return disk_ok_to_pull(c, node_, slot_); }));
    for (auto* one : {fail, pull}) {
      one->add_option("NODE", node_, "n1, n2...")->required();
      one->add_option("SLOT", slot_, "as disk ls shows it")->required();
    }
    auto* add = command(parent, "add", "a new disk, as a spare",
                        plain([this](Context& c) { return disk_add(c, node_, file_); }));
    auto* wipe = command(parent, "wipe", "make a foreign disk usable: what it holds is gone",
                         plain([this](Context& c) { return disk_wipe(c, node_, file_); }));
    for (auto* one : {add, wipe}) {
      one->add_option("NODE", node_, "n1, n2...")->required();
      one->add_option("PATH", file_, "on the node")->required();
    }
  }

  void add_pool() {
    auto* parent = group("pool", "a node's disks as one");
    auto* status = command(parent, "status", "redundancy, space, repairs",
                           plain([this](Context& c) { return pool_status(c, node_); }));
    auto* check = command(parent, "check", "index against pool and journal; exit 1 on a difference",
                          [this](Context& c, int* exit) { return pool_check(c, node_, exit); });
    auto* scrub =
        command(parent, "scrub", "read and verify every live strip, repair what is bad",
                [this](Context& c, int* exit) { return pool_scrub(c, node_, wait_, exit); });
    scrub->add_flag("--wait", wait_, "until it is done; exit 0 when clean or repaired");
    auto* checkpoint = command(parent, "checkpoint", "write the index into the pool now",
                               plain([this](Context& c) { return pool_checkpoint(c, node_); }));
    for (auto* one : {status, check, scrub, checkpoint})
      one->add_option("--node", node_, "of this node");
  }

  void add_cell() {
    command(&app_, "status", "the cell on one page", plain([](Context& c) { return status(c); }));
    command(&app_, "health", "is all well? exit 0, 7 degraded, 8 at risk",
            [](Context& c, int* exit) { return health(c, exit); });
    command(group("node", "the cell's nodes"), "ls", "all nodes",
            plain([](Context& c) { return node_ls(c); }));
    command(group("group", "replication groups"), "ls", "all groups",
            plain([](Context& c) { return group_ls(c); }));
  }

  CLI::App app_;
  Globals globals_;
  Action action_;
  CLI::App* volume_ = nullptr;
  PlaygroundUp up_;
  VolumeCreate create_;
  std::string folder_, node_, signal_ = "KILL", name_, file_, snapshot_, snapshot_name_;
  std::vector<std::string> volumes_;
  std::uint64_t size_ = 0, offset_ = 0, length_ = 0;
  std::uint32_t slot_ = 0;
  bool deleted_ = false, wait_ = false;
};

}  // namespace

int run(int argc, const char* const* argv) {
  setenv("GRPC_VERBOSITY", "NONE", 0);  // our own errors say it, once
  return App().run(argc, argv);
}

}  // namespace square::cli
