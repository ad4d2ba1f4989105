#include "sim/engine/diff_run.hpp"

#include <algorithm>
#include <cstdio>

#include "codec/checksum.hpp"
#include "format/diff_stream.hpp"

namespace square::sim {

namespace {

constexpr GroupId kGroup{1};
constexpr std::uint64_t kRocksEvery = 20;
constexpr std::size_t kVolumesMax = 4, kHeldMax = 5;
constexpr int kAttemptsMax = 200;

NodeShape draw_shape(std::uint64_t seed, Rng& rng, bool receives) {
  NodeShape shape;
  shape.receives = receives;
  switch (rng.below(3)) {
    case 0: shape.k = 4, shape.m = 2, shape.spares = 0; break;
    case 1: shape.k = 4, shape.m = 1, shape.spares = 0; break;
    default: shape.k = 3, shape.m = 2, shape.spares = 1; break;
  }
  if (rng.below(2) == 0) shape.disk_bytes -= 6u << 20;
  shape.direct_bytes_min = (rng.below(2) ? 64u : 256u) << 10;
  constexpr int kIntervalsMs[] = {20, 200, 5000};
  shape.checkpoint_interval = std::chrono::milliseconds(kIntervalsMs[rng.below(3)]);
  shape.rocks = seed % kRocksEvery == 0;
  return shape;
}

void fill_block(std::uint64_t token, MutableBytes block) {
  for (std::size_t at = 0; at < block.size(); at += sizeof token) {
    const auto word = token == 0 ? 0 : (token + at) * 0x9E3779B97F4A7C15ull ^ token;
    std::memcpy(block.data() + at, &word, sizeof word);
  }
}

std::string text(const format::SnapshotId& id) {
  return std::to_string(id.epoch.number) + "." + std::to_string(id.sequence.value);
}

}  // namespace

DiffRun::DiffRun(DiffRunOptions options)
    : options_(options),
      world_(options.seed),
      rng_(options.seed * 37 + 11),
      store_(world_, draw_shape(options.seed, rng_, false), "store"),
      backup_(world_, draw_shape(options.seed, rng_, true), "backup"),
      remote_(world_, draw_shape(options.seed, rng_, true), "remote") {
  if (chance(60))
    for (auto* node : {&store_, &backup_, &remote_})
      node->process().disks().set_timing(DiskTiming::instant());
  report_.rocks = store_.shape().rocks;
}

void DiffRun::trace(const std::string& what) {
  if (options_.trace)
    std::fprintf(stderr, "%10.6f %s\n", static_cast<double>(world_.now_ns()) / 1e9, what.c_str());
}

void DiffRun::violation(std::string what) {
  trace("VIOLATION " + what);
  if (!report_.violation) report_.violation = std::move(what);
}

std::string DiffRun::name_of(const EngineNode& node) const {
  return const_cast<EngineNode&>(node).process().name();
}

bool DiffRun::begin() {
  for (auto* node : {&store_, &backup_, &remote_}) {
    const auto made = node->format();
    if (!made.ok()) violation("format: " + made.error().message);
    if (node == &store_) {
      auto keys = store_.open_keys();
      if (!keys.ok()) return violation("keys: " + keys.error().message), false;
      keys_ = std::move(keys).value();
    }
    node->use_keys(*keys_);
    if (!failed()) start(*node);
  }
  if (!failed()) create_volume();
  return !failed();
}

void DiffRun::start(EngineNode& node) {
  const auto started = node.start();
  if (!started || !started->ok())
    violation("start of " + name_of(node) + ": " +
              (started ? started->error().message : std::string("crashed")));
}

void DiffRun::crash(EngineNode& node) {
  ++(&node == &store_ ? report_.source_crashes : report_.receiver_crashes);
  const auto states = node.index_states();
  const auto kept = chance(50) ? states : dice(states + 1);
  sent_.reset();
  trace("crash of " + name_of(node) + ", index keeps " + std::to_string(kept) + " of " +
        std::to_string(states));
  node.crash(chance(70) ? CrashKind::kPowerLoss : CrashKind::kKill, kept);
  start(node);
}

// ---- the store's client: one request at a time, so that the model is exact

DiffRun::Blocks& DiffRun::any_volume(VolumeId& id) {
  auto volume = std::next(content_.begin(), static_cast<long>(dice(content_.size())));
  id = volume->first;
  return volume->second;
}

void DiffRun::write() {
  VolumeId id;
  auto& blocks = any_volume(id);
  const auto count = 1 + dice(chance(80) ? 8 : 100);
  const auto first = dice(blocks.size() - count + 1);
  auto data = Buffer::allocate(count * kBlockBytes);
  std::vector<std::uint64_t> ingest;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto block = data.bytes().subspan(i * kBlockBytes, kBlockBytes);
    fill_block(next_token_ + i, block);
    ingest.push_back(codec::checksum64(block));
  }
  const auto done = store_.process().run(
      store_.engine()->write(id, first * kBlockBytes, std::move(data), std::move(ingest)));
  if (done.failed_with(Code::kNoSpace)) return void(++report_.refused_full);
  if (!done.ok()) return violation("write: " + done.error().message);
  for (std::uint64_t i = 0; i < count; ++i) blocks[first + i] = next_token_ + i;
  next_token_ += count;
}

void DiffRun::zero() {
  VolumeId id;
  auto& blocks = any_volume(id);
  const auto count = 1 + dice(60);
  const auto first = dice(blocks.size() - count + 1);
  const auto done =
      store_.process().run(store_.engine()->zero(id, first * kBlockBytes, count * kBlockBytes));
  if (!done.ok()) return violation("zero: " + done.error().message);
  std::fill_n(blocks.begin() + static_cast<long>(first), count, 0);
}

void DiffRun::create_volume() {
  store::CreateVolume request;
  request.name = "v" + std::to_string(next_name_++);
  request.size_bytes = (1 + dice(2)) << 20;
  request.extent_bytes = 4096u << dice(6);
  const auto made = store_.process().run(store_.engine()->create_volume(request));
  if (made.failed_with(Code::kNoSpace)) return void(++report_.refused_full);
  if (!made.ok()) return violation("create volume: " + made.error().message);
  content_[made->id].assign(request.size_bytes / kBlockBytes, 0);
  names_[made->id] = request.name;
}

void DiffRun::purge_volume() {
  VolumeId id;
  any_volume(id);
  const auto name = names_.at(id);
  const auto removed = store_.process().run(store_.engine()->delete_volume(name));
  if (!removed.ok()) return violation("delete volume: " + removed.error().message);
  const auto purged = store_.process().run(store_.engine()->purge_volume(name));
  if (!purged.ok()) return violation("purge volume: " + purged.error().message);
  content_.erase(id);
  names_.erase(id);
}

void DiffRun::take_snapshot() {
  if (held_.size() >= kHeldMax) return;
  const auto made =
      store_.process().run(store_.engine()->create_snapshot({names_.begin()->second}, "s"));
  if (made.failed_with(Code::kNoSpace)) return void(++report_.refused_full);
  if (!made.ok()) return violation("snapshot: " + made.error().message);
  trace("snapshot " + text(made->snapshot));
  ++report_.snapshots;
  held_.push_back({made->id, made->snapshot});
  taken_.push_back({made->snapshot, content_});
}

void DiffRun::drop_snapshot() {
  if (held_.size() < 2) return;
  const auto i = dice(held_.size());
  if (is_held(held_[i].id)) return;
  const auto dropped = store_.process().run(store_.engine()->drop_snapshot(held_[i].name));
  if (dropped.failed_with(Code::kBusy)) return;
  if (!dropped.ok()) return violation("drop: " + dropped.error().message);
  trace("dropped " + text(held_[i].id));
  ++report_.drops;
  held_.erase(held_.begin() + static_cast<long>(i));
}

// The next diff of a receiver begins there.
bool DiffRun::is_held(const format::SnapshotId& id) {
  for (auto* node : {&backup_, &remote_}) {
    const auto here = node->engine()->snapshot_ids(kGroup);
    if (here.ok() && !here->empty() && here->back() == id) return true;
  }
  return false;
}

void DiffRun::operate() {
  ++report_.operations;
  const auto kind = dice(1000);
  if (kind < 700)
    write();
  else if (kind < 900)
    zero();
  else if (kind < 955)
    take_snapshot();
  else if (kind < 975)
    drop_snapshot();
  else if (kind < 985 && content_.size() < kVolumesMax)
    create_volume();
  else if (kind < 990 && content_.size() > 1)
    purge_volume();
  else if (kind < 995)
    crash(store_);
}

void DiffRun::operate_some(std::uint64_t max) {
  for (auto n = 1 + dice(max); n > 0 && !failed(); --n) operate();
  // Extents of which little is visible are sealed anew meanwhile.
  if (chance(30)) world_.run_for(std::chrono::seconds(3));
}

// What an operator keeps of a store's disks, and puts back one day.
void DiffRun::take_image() {
  store_.stop();
  image_.emplace();
  for (std::size_t i = 0; i < store_.paths().size(); ++i)
    image_->disks.push_back(store_.medium(i).snapshot());
  image_->content = content_;
  image_->names = names_;
  image_->held = held_;
  trace("image taken");
  start(store_);
}

void DiffRun::roll_back() {
  ++report_.roll_backs;
  trace("rolled back");
  sent_.reset();
  store_.process().crash(CrashKind::kKill);
  for (std::size_t i = 0; i < store_.paths().size(); ++i)
    store_.medium(i).roll_back(image_->disks[i]);
  store_.crash(CrashKind::kKill, 0);
  content_ = std::move(image_->content);
  names_ = std::move(image_->names);
  held_ = std::move(image_->held);
  image_.reset();
  start(store_);
}

// ---- transfers

std::optional<format::SnapshotId> DiffRun::pick_target(EngineNode& receiver, EngineNode& source) {
  const auto here = receiver.engine()->snapshot_ids(kGroup);
  const auto there = source.engine()->snapshot_ids(kGroup);
  if (!here.ok() || !there.ok()) return violation("list of snapshots"), std::nullopt;
  // Behind what is held, but for what another past has left.
  Sequence common;
  for (const auto& id : *here)
    if (report_.roll_backs == 0 || std::ranges::find(*there, id) != there->end())
      common = id.sequence;
  std::vector<format::SnapshotId> later;
  for (const auto& id : *there)
    if (id.sequence > common) later.push_back(id);
  if (later.empty()) return std::nullopt;
  return chance(70) ? later.back() : later[dice(later.size())];
}

bool DiffRun::drop_oldest(EngineNode& receiver) {
  const auto all = receiver.process().run(receiver.engine()->list_snapshots());
  if (!all.ok()) return violation("list: " + all.error().message), false;
  if (all->size() < 2) return false;
  const auto dropped = receiver.process().run(receiver.engine()->drop_snapshot(all->front().id));
  if (!dropped.ok() && dropped.code() != Code::kBusy)
    violation("drop at a receiver: " + dropped.error().message);
  return dropped.ok();
}

// What may go wrong, and what is done about it.
DiffRun::Step DiffRun::refused(EngineNode& receiver, const Error& error) {
  trace(name_of(receiver) + ": " + error.message);
  switch (error.code) {
    case Code::kNoSpace: return drop_oldest(receiver) ? Step::kAgain : Step::kGivenUp;
    case Code::kUnavailable: return Step::kGivenUp;  // the source has not come so far
    case Code::kNotFound: ++report_.other_rewrites; return Step::kAgain;
    case Code::kCorrupt:  // a base from another past, under the same name
      if (report_.roll_backs == 0) violation("a diff: " + error.message);
      ++report_.other_roots;
      return Step::kAgain;
    default: violation("a diff: " + error.message); return Step::kGivenUp;
  }
}

DiffRun::Step DiffRun::stream(EngineNode& receiver, EngineNode& source,
                              const format::DiffHeader& wanted) {
  auto sent = source.engine()->send_diff(wanted);
  if (!sent.ok()) return refused(receiver, sent.error());
  sent_ = std::move(sent).value();
  format::DiffEncoder encoder;
  format::DiffDecoder decoder;
  while (!failed() && sent_ != nullptr) {
    auto made = source.process().run(sent_->next());
    if (!made.ok()) {
      if (made.failed_with(Code::kNotFound) && wanted.base)
        not_offered_[&receiver].push_back(wanted.base->snapshot);
      return refused(receiver, made.error());
    }
    if (!*made) return violation("a stream ended before its end was taken"), Step::kGivenUp;
    auto piece = decoder.next(encoder.next(**made));
    if (!piece.ok()) return violation("decoder: " + piece.error().message), Step::kGivenUp;
    ++report_.pieces;
    if (const auto* items = std::get_if<format::DiffItems>(&*piece))
      for (const auto& one : items->extents) report_.stored_bytes += one.stored.size();
    const bool end = std::holds_alternative<format::DiffEnd>(*piece);
    for (int tries = 0;; ++tries) {
      const auto taken = receiver.process().run(receiver.engine()->receive(kGroup, *piece));
      if (taken.ok()) break;
      if (!taken.failed_with(Code::kNoSpace) || tries > 20) return refused(receiver, taken.error());
      if (!drop_oldest(receiver)) return refused(receiver, taken.error());
      world_.run_for(std::chrono::seconds(2));
    }
    if (end) return Step::kArrived;
    if (chance(25) && &source == &store_ && chance(20)) {
      ++report_.broken;
      return crash(source), Step::kAgain;
    }
    if (chance(3)) return ++report_.broken, crash(receiver), Step::kAgain;
    if (chance(4)) return ++report_.broken, Step::kAgain;
    if (chance(25)) operate_some(6);
  }
  return Step::kAgain;
}

DiffRun::Step DiffRun::attempt(EngineNode& receiver, EngineNode& source,
                               const format::SnapshotId& target) {
  auto offered = source.engine()->snapshot_ids(kGroup);
  if (!offered.ok()) return violation("offer: " + offered.error().message), Step::kGivenUp;
  std::erase_if(*offered, [&](const format::SnapshotId& id) {
    const auto& without = not_offered_[&receiver];
    return std::ranges::find(without, id) != without.end();
  });
  const auto begin = [&](store::DropForks may_drop) {
    return receiver.process().run(
        receiver.engine()->begin_receiving(kGroup, target, *offered, may_drop));
  };
  auto wanted = begin(store::DropForks::kNo);
  if (wanted.failed_with(Code::kConflict)) {
    const bool skipped = &source == &backup_;  // it may lack what the receiver has
    if (report_.roll_backs == 0 && not_offered_[&receiver].empty() && !skipped)
      violation("begin: " + wanted.error().message);
    ++report_.forks_dropped;
    wanted = begin(store::DropForks::kYes);
  }
  if (wanted.failed_with(Code::kConflict)) {
    // Another past, and newer: by hand they go.
    trace(name_of(receiver) + ": " + wanted.error().message);
    const auto all = receiver.process().run(receiver.engine()->list_snapshots());
    if (all.ok() && !all->empty())
      (void)receiver.process().run(receiver.engine()->drop_snapshot(all->back().id)).ok();
    return Step::kAgain;
  }
  if (wanted.failed_with(Code::kNotFound)) return Step::kGivenUp;
  if (!wanted.ok()) return refused(receiver, wanted.error());
  if (!*wanted) return Step::kArrived;
  ++report_.begun;
  report_.resumed += (*wanted)->cursor != format::DiffCursor{};
  trace(name_of(receiver) + " asks " + name_of(source) + " for " + text(target) + " from " +
        ((*wanted)->base ? text((*wanted)->base->snapshot) : "nothing") + ", at " +
        std::to_string((*wanted)->cursor.volume.value) + ":" +
        std::to_string((*wanted)->cursor.offset));
  const auto step = stream(receiver, source, **wanted);
  sent_.reset();
  return step;
}

void DiffRun::transfer(EngineNode& receiver, std::vector<EngineNode*> sources) {
  auto* source = sources[dice(sources.size())];
  const auto target = pick_target(receiver, *source);
  if (!target) return;
  not_offered_[&receiver].clear();
  for (int i = 0; i < kAttemptsMax && !failed(); ++i) {
    const auto step = attempt(receiver, *source, *target);
    if (step == Step::kGivenUp) return;
    if (step == Step::kArrived) {
      ++report_.arrived;
      trace(name_of(receiver) + " has " + text(*target));
      compare_one(receiver, *target);
      return;
    }
    const auto* next = sources[dice(sources.size())];
    const auto there = const_cast<EngineNode*>(next)->engine()->snapshot_ids(kGroup);
    if (there.ok() && std::ranges::find(*there, *target) != there->end())
      source = const_cast<EngineNode*>(next);
  }
  if (!failed()) violation("a transfer came to no end");
}

// ---- what is there

void DiffRun::compare_one(EngineNode& node, const format::SnapshotId& id) {
  const auto taken = std::ranges::find_if(taken_, [&](const Taken& one) { return one.id == id; });
  if (taken == taken_.end())
    return violation(name_of(node) + " shows a snapshot that nobody took: " + text(id));
  ++report_.compared;
  const auto name = std::to_string(kGroup.value) + "-" + std::to_string(id.sequence.value);
  ByteVector expected(kBlockBytes);
  for (const auto& [volume, blocks] : taken->content) {
    const auto got = node.process().run(node.engine()->read(
        volume, 0,
        static_cast<std::uint32_t>(std::min<std::size_t>(blocks.size(), 256) * kBlockBytes), name));
    if (!got.ok())
      return violation(name_of(node) + ", volume " + std::to_string(volume.value) + " at " +
                       text(id) + ": " + got.error().message);
    for (std::size_t i = 0; i < got->data.size() / kBlockBytes; ++i) {
      fill_block(blocks[i], expected);
      if (!std::ranges::equal(got->data.bytes().subspan(i * kBlockBytes, kBlockBytes), expected))
        return violation(name_of(node) + ", volume " + std::to_string(volume.value) + " at " +
                         text(id) + ": block " + std::to_string(i) + " is another one");
    }
  }
}

void DiffRun::compare(EngineNode& node, bool all) {
  const auto held = node.engine()->snapshot_ids(kGroup);
  if (!held.ok()) return violation("list: " + held.error().message);
  for (const auto& id : *held)
    if (!failed() && (all || chance(20))) compare_one(node, id);
}

void DiffRun::check(EngineNode& node) {
  const auto found = node.process().run(node.engine()->check());
  if (!found.ok()) return violation("check of " + name_of(node) + ": " + found.error().message);
  if (!found->empty()) violation("check of " + name_of(node) + ": " + *found);
}

DiffReport DiffRun::run() {
  if (begin()) {
    while (!failed() && report_.operations < options_.operations) {
      operate_some(30);
      if (!failed() && chance(3) && !image_) take_image();
      if (!failed() && chance(2) && image_) roll_back();
      if (!failed() && chance(40)) transfer(backup_, {&store_});
      if (!failed() && chance(30)) transfer(remote_, {&backup_, &store_});
      for (auto* node : {&backup_, &remote_}) {
        if (!failed() && chance(6)) crash(*node);
        if (!failed() && chance(20)) drop_oldest(*node);
        if (!failed()) compare(*node, false);
      }
    }
    for (auto* node : {&store_, &backup_, &remote_}) {
      if (!failed()) compare(*node, true);
      if (!failed()) check(*node);
    }
  }
  report_.virtual_s = static_cast<double>(world_.now_ns()) / 1e9;
  report_.events = world_.events();
  report_.event_hash = world_.hash();
  return report_;
}

}  // namespace square::sim
