#include "sim/engine/engine_node.hpp"

#include "pool/layout.hpp"

namespace square::sim {

namespace {

CellId cell_id() {
  CellId id;
  id.uuid.bytes.fill(0xC1);
  return id;
}
NodeId node_id() {
  NodeId id;
  id.uuid.bytes.fill(0xA1);
  return id;
}
const std::string kKeys = "/keys";

}  // namespace

EngineNode::EngineNode(SimWorld& world, NodeShape shape, std::string name)
    : shape_(shape),
      process_(world.add_process(std::move(name))),
      index_(shape.rocks ? rocks_index() : map_index()),
      nonces_(pool::journal_offset(0), shape.journal_bytes) {
  process_.disks().watch = [this](std::uint64_t offset, const BufferChain& chain) {
    nonces_.see(offset, chain);
  };
  for (int i = 0; i < shape.k + shape.m + shape.spares; ++i) {
    paths_.push_back("/dev/disk" + std::to_string(i));
    process_.disks().add(paths_.back(), shape.disk_bytes);
  }
}

const std::string& EngineNode::extra_path() {
  static const std::string path = "/dev/extra";
  return path;
}

EngineNode::~EngineNode() {
  if (engine_ == nullptr) return;
  process_.crash(CrashKind::kKill);
  drop();
}

Result<> EngineNode::format() {
  pool::FormatOptions options;
  options.cell = cell_id();
  options.node = node_id();
  options.paths = paths_;
  options.k = shape_.k;
  options.m = shape_.m;
  options.chunk_bytes = shape_.chunk_bytes;
  options.journal_bytes = shape_.journal_bytes;
  SQ_TRY(process_.run(pool::Pool::format(process_.env(), options)));
  return codec::KeyStore::create(process_.files(), process_.random(), kKeys);
}

Result<std::unique_ptr<codec::KeyStore>> EngineNode::open_keys() {
  return codec::KeyStore::open(process_.files(), process_.random(), kKeys);
}

std::optional<Result<>> EngineNode::start() {
  if (lent_keys_ == nullptr) {
    auto keys = open_keys();
    if (!keys.ok()) return std::move(keys).error();
    keys_ = std::move(keys).value();
  }
  store::EngineOptions options;
  options.pool.cell = cell_id();
  options.pool.node = node_id();
  options.pool.paths = paths_;
  options.pool.paths.push_back(extra_path());
  options.pool.retire_slow_after = {};  // who damages disks must know where their content goes
  options.groups = shape_.groups;
  options.receives = shape_.receives;
  options.write_buffer_bytes = shape_.write_buffer_bytes;
  options.direct_bytes_min = shape_.direct_bytes_min;
  options.checkpoint_interval = shape_.checkpoint_interval;
  options.rewrite_interval = std::chrono::seconds(2);
  auto opened = process_.run_or_crash(
      store::Engine::open(process_.env(), std::move(options), index_->factory(),
                          lent_keys_ != nullptr ? *lent_keys_ : *keys_));
  if (!opened) {
    drop();
    return std::nullopt;
  }
  if (!opened->ok()) return std::move(*opened).error();
  engine_ = std::move(*opened).value();
  return Result<>{};
}

// The objects of the process that is gone.
void EngineNode::drop() {
  engine_.reset();
  keys_.reset();
}

void EngineNode::crash(CrashKind kind, std::size_t index_states) {
  if (process_.running()) process_.crash(kind);
  drop();
  index_->crash(index_states);
  process_.restart();
}

void EngineNode::stop() {
  process_.run(engine_->stop());
  drop();
}

}  // namespace square::sim
