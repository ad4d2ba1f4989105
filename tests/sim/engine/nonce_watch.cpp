#include "sim/engine/nonce_watch.hpp"

#include <cstring>

#include "codec/extent_header.hpp"
#include "format/journal_batch.hpp"
#include "format/store_records.hpp"

namespace square::sim {

std::size_t NonceWatch::Hash::operator()(const Nonce& nonce) const {
  std::uint64_t word;
  std::memcpy(&word, nonce.seal.data(), sizeof word);
  return static_cast<std::size_t>(
      (word ^ nonce.volume.value * 0x9E3779B97F4A7C15ull ^ nonce.counter) * 0xBF58476D1CE4E5B9ull);
}

void NonceWatch::see(std::uint64_t offset, const BufferChain& chain) {
  if (offset < from_ || offset >= to_ || chain.size() != 1) return;
  const auto header = format::decode_journal_header(chain.front().bytes());
  if (!header.ok()) return;
  // What is written again (another copy, a later term) has been seen.
  if (header->epoch.random == last_epoch_ && header->position < seen_) return;
  const auto batch = format::decode_journal_batch(chain.front());
  if (!batch.ok()) return;
  last_epoch_ = header->epoch.random;
  seen_ = header->end();
  for (const auto& bytes : batch->records) {
    const auto record = format::decode_record(bytes);
    if (!record.ok()) continue;
    if (const auto* operation = std::get_if<format::OperationRecord>(&*record)) see(*operation);
  }
}

void NonceWatch::see(const format::OperationRecord& record) {
  const auto& operation = record.operation;
  if (operation.type == format::OperationType::kPutRecord) {
    const auto& body = std::get<format::RecordBody>(operation.body);
    if (!body.key.starts_with(format::kSealPrefix)) return;
    const auto reference = format::key_number(body.key, format::kSealPrefix);
    const auto seal = format::decode_seal_record(body.value);
    if (reference.ok() && seal.ok())
      seals_[{operation.group, static_cast<std::uint32_t>(*reference)}] = seal->seal;
  }
  for (const auto& stored : record.payload) see_extent(operation, stored.bytes());
}

void NonceWatch::see_extent(const format::Operation& operation, Bytes stored) {
  const auto header = codec::decode_extent_header(stored);
  if (!header.ok()) return;
  const auto seal = seals_.find({operation.group, header->seal});
  if (seal == seals_.end()) {
    if (!violation_)
      violation_ = "an extent names seal " + std::to_string(header->seal) +
                   ", which no record in the journal told before";
    return;
  }
  for (std::uint32_t frame = 0; frame < header->tags.size(); ++frame) {
    const Nonce nonce{header->identity.container, seal->second, header->first_counter + frame};
    const auto [entry, fresh] = used_.emplace(nonce, header->tags[frame]);
    if (fresh || entry->second == header->tags[frame] || violation_) continue;
    violation_ = "nonce " + std::to_string(nonce.counter) + " of seal " +
                 std::to_string(header->seal) + " was used for two sealings of volume " +
                 std::to_string(nonce.volume.value);
  }
}

}  // namespace square::sim
