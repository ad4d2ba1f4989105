// Snapshots that go as diffs from one engine to another, piece by piece, as bytes.
#include <algorithm>

#include "bench/load.hpp"
#include "bench/runs.hpp"
#include "format/diff_stream.hpp"

namespace square::bench {

namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr GroupId kGroup{1};

RigOptions rig_in(const Settings& settings, const std::string& name, bool receives) {
  auto options = usual_rig(settings);
  options.dir = settings.dir + "/" + name;
  options.engine.receives = receives;
  return options;
}

struct Sent {
  std::uint64_t bytes = 0, stored_bytes = 0, pieces = 0;
  double send_cpu_s = 0, receive_cpu_s = 0, wall_s = 0;
};

Result<Sent> send(Rig& source, Rig& receiver, const format::SnapshotId& target) {
  Sent sent;
  const auto began = usage_now();
  SQ_TRY(const auto offered, source.engine().snapshot_ids(kGroup));
  SQ_TRY(const auto wanted,
         receiver.run(receiver.engine().begin_receiving(kGroup, target, offered)));
  if (!wanted) return Error{Code::kExists, "the snapshot was there already"};
  SQ_TRY(const auto stream, source.engine().send_diff(*wanted));
  format::DiffEncoder encoder;
  format::DiffDecoder decoder;
  while (true) {
    const auto before = usage_now();
    SQ_TRY(const auto made, source.run(stream->next()));
    if (!made) break;
    const auto bytes = encoder.next(*made);
    const auto between = usage_now();
    sent.send_cpu_s += (between - before).cpu_s;
    sent.bytes += bytes.size();
    ++sent.pieces;
    SQ_TRY(auto piece, decoder.next(bytes));
    if (const auto* items = std::get_if<format::DiffItems>(&piece))
      for (const auto& one : items->extents) sent.stored_bytes += one.stored.size();
    SQ_TRY(receiver.run(receiver.engine().receive(kGroup, std::move(piece))));
    sent.receive_cpu_s += (usage_now() - between).cpu_s;
  }
  sent.wall_s = (usage_now() - began).wall_s;
  return sent;
}

Result<format::SnapshotId> mark(Rig& rig) {
  SQ_TRY(const auto made, rig.run(rig.engine().create_snapshot({"v"}, "")));
  return made.snapshot;
}

void tell(Report& report, const std::string& what, const Sent& sent) {
  const auto mib = static_cast<double>(sent.bytes) / kMiB;
  report.number(what + ", bytes of the stream", mib, "MiB");
  report.number(what + ", rate, one piece at a time", mib / sent.wall_s, "MiB/s");
  report.number(what + ", CPU of the source", sent.send_cpu_s / mib * 1e6, "us/MiB");
  report.number(what + ", CPU of the receiver", sent.receive_cpu_s / mib * 1e6, "us/MiB");
}

}  // namespace

Result<> run_diff_stream(const Settings& settings, Report& report) {
  SQ_TRY(const auto source, Rig::make(rig_in(settings, "source", false)));
  SQ_TRY(const auto receiver, Rig::make(rig_in(settings, "receiver", true)));
  SQ_TRY(source->open());
  SQ_TRY(receiver->open());
  const auto volume_bytes = settings.scaled(1024 * kMiB, 16 * kMiB);
  SQ_TRY(const auto volume, make_volume(*source, "v", volume_bytes));
  Content content;
  SQ_TRY(fill_volume(*source, content, volume, volume_bytes, true));
  SQ_TRY(const auto first, mark(*source));
  SQ_TRY(const auto whole, send(*source, *receiver, first));
  tell(report, "from nothing", whole);

  Load load;
  load.volume = volume;
  load.requests = volume_bytes / kBlockBytes / 100;
  load.depth = 32;
  load.offset = at_random(volume_bytes, kBlockBytes, 5);
  SQ_TRY(run_writes(*source, content, load, false));
  SQ_TRY(const auto second, mark(*source));
  SQ_TRY(const auto changed, send(*source, *receiver, second));
  tell(report, "1 % changed", changed);
  report.at_most("1 % changed, bytes of the stream against stored bytes that changed",
                 static_cast<double>(changed.bytes) / static_cast<double>(changed.stored_bytes),
                 1.05, "x");
  SQ_TRY(receiver->close());
  return source->close();
}

}  // namespace square::bench
