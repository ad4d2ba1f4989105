#include "format/state_root.hpp"

#include "codec/sha256.hpp"

namespace square::format {
namespace {

// The first byte of every text: no text of one kind is one of another.
enum class Kind : std::uint8_t { kLeaf = 1, kNode = 2, kRecords = 3, kRoot = 4 };

ByteVector begin(Kind kind) { return {static_cast<std::byte>(kind)}; }

}  // namespace

StateHash state_hash(Bytes text) {
  codec::Sha256 hash;
  hash.update(text);
  return hash.finish();
}

ByteVector leaf_text(std::span<const LeafPiece> pieces) {
  auto text = begin(Kind::kLeaf);
  Writer out(text);
  for (const auto& piece : pieces) {
    out.put(piece.offset);
    out.put(piece.length);
    put(out, piece.id);
    out.put(piece.extent_offset);
    put(out, piece.digest);
  }
  return text;
}

ByteVector node_text(unsigned level, std::span<const std::pair<std::uint8_t, StateHash>> children) {
  auto text = begin(Kind::kNode);
  Writer out(text);
  out.put(static_cast<std::uint8_t>(level));
  for (const auto& [number, hash] : children) {
    out.put(number);
    out.put_raw(hash);
  }
  return text;
}

StateHash records_hash(std::span<const std::pair<std::string, ByteVector>> records) {
  codec::Sha256 hash;
  hash.update(begin(Kind::kRecords));
  for (const auto& [key, value] : records) {
    ByteVector text;
    Writer out(text);
    out.put_sized(as_bytes(key));
    out.put_sized(value);
    hash.update(text);
  }
  return hash.finish();
}

ByteVector root_text(std::span<const StateVolume> volumes, const StateHash& records) {
  auto text = begin(Kind::kRoot);
  Writer out(text);
  out.put(kStateRootVersion);
  out.put(static_cast<std::uint32_t>(volumes.size()));
  for (const auto& volume : volumes) {
    out.put(volume.volume);
    out.put(volume.size_bytes);
    out.put_raw(volume.tree);
  }
  out.put_raw(records);
  return text;
}

}  // namespace square::format
