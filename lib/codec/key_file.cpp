#include "codec/key_file.hpp"

#include "codec/checksum.hpp"

namespace square::codec {
namespace {

constexpr std::string_view kStoreMagic = "SQUAKEYS", kRootMagic = "SQUAROOT",
                           kRemoteMagic = "SQUARPUB";
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kChecksumBytes = 8;
constexpr std::size_t kWrapBytes = 60;
constexpr std::size_t kTenantBytes = 8 + kWrapBytes;
constexpr std::size_t kKeyBytesMin = 16 + kWrapBytes + 1;

Error corrupt(std::string_view what) { return {Code::kCorrupt, std::string(what)}; }

std::string_view magic_of(SingleKey which) {
  return which == SingleKey::kRoot ? kRootMagic : kRemoteMagic;
}

void put_head(Writer& out, std::string_view magic) {
  out.put_raw(as_bytes(magic));
  out.put(kVersion);
}
void put_checksum(Writer& out, const ByteVector& bytes) { out.put(checksum64(bytes)); }

// The bytes between head and checksum, once those two are right.
Result<Bytes> checked_body(Bytes bytes, std::string_view magic) {
  Reader in(bytes);
  if (as_text(in.get_raw(magic.size())) != magic) return corrupt("not a file of this kind");
  const auto version = in.get<std::uint16_t>();
  if (!in.ok() || in.left() < kChecksumBytes) return corrupt("cut short");
  const auto covered = bytes.first(bytes.size() - kChecksumBytes);
  if (Reader(bytes.last(kChecksumBytes)).get<std::uint64_t>() != checksum64(covered))
    return corrupt("bytes do not have their checksum");
  if (version != kVersion) return Error{Code::kUnsupported, "version " + std::to_string(version)};
  return covered.subspan(in.position());
}

template <std::size_t N>
void get_array(Reader& in, std::array<std::byte, N>& out) {
  const auto raw = in.get_raw(N);
  if (raw.size() == N) std::memcpy(out.data(), raw.data(), N);
}

void put(Writer& out, const Wrap& wrap) {
  out.put_raw(wrap.nonce);
  out.put_raw(wrap.sealed);
  out.put_raw(wrap.tag);
}
void get(Reader& in, Wrap& wrap) {
  get_array(in, wrap.nonce);
  get_array(in, wrap.sealed);
  get_array(in, wrap.tag);
}

void put(Writer& out, const WrappedDataKey& key) {
  out.put(key.tenant);
  put(out, key.wrap);
  out.put(static_cast<std::uint8_t>(key.remote.has_value()));
  if (!key.remote) return;
  out.put_raw(key.remote->ephemeral);
  out.put_raw(key.remote->sealed);
  out.put_raw(key.remote->tag);
}
void get(Reader& in, WrappedDataKey& key) {
  in.get(key.tenant);
  get(in, key.wrap);
  const auto remote = in.get<std::uint8_t>();
  if (remote > 1) return in.fail();
  if (remote == 0) return;
  get_array(in, key.remote.emplace().ephemeral);
  get_array(in, key.remote->sealed);
  get_array(in, key.remote->tag);
}

// A list by ascending id.
template <class Id, class Value>
void put_map(Writer& out, const std::map<Id, Value>& map) {
  out.put(static_cast<std::uint32_t>(map.size()));
  for (const auto& [id, value] : map) {
    out.put(id);
    put(out, value);
  }
}
template <class Id, class Value>
void get_map(Reader& in, std::map<Id, Value>& map, std::size_t bytes_min) {
  const auto count = in.get<std::uint32_t>();
  if (count > in.left() / bytes_min) return in.fail();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    Id id;
    Value value;
    in.get(id);
    get(in, value);
    if (!map.empty() && id <= map.rbegin()->first) return in.fail();
    map.emplace_hint(map.end(), id, value);
  }
}

}  // namespace

ByteVector encode_key_file(const KeyFile& file) {
  ByteVector bytes;
  Writer out(bytes);
  put_head(out, kStoreMagic);
  put_map(out, file.tenants);
  put_map(out, file.keys);
  put_checksum(out, bytes);
  return bytes;
}

Result<KeyFile> decode_key_file(Bytes bytes) {
  SQ_TRY(const auto body, checked_body(bytes, kStoreMagic));
  Reader in(body);
  KeyFile file;
  get_map(in, file.tenants, kTenantBytes);
  get_map(in, file.keys, kKeyBytesMin);
  if (!in.finished()) return corrupt("body does not decode");
  for (const auto& [id, key] : file.keys)
    if (!file.tenants.contains(key.tenant)) return corrupt("key of an unknown tenant");
  return file;
}

ByteVector encode_single_key(SingleKey which, std::span<const std::byte, 32> key) {
  ByteVector bytes;
  // All at once: a vector that grows leaves copies of the key behind.
  bytes.reserve(8 + 2 + 32 + kChecksumBytes);
  Writer out(bytes);
  put_head(out, magic_of(which));
  out.put_raw(key);
  put_checksum(out, bytes);
  return bytes;
}

Result<std::span<const std::byte, 32>> decode_single_key(SingleKey which, Bytes bytes) {
  SQ_TRY(const auto body, checked_body(bytes, magic_of(which)));
  if (body.size() != 32) return corrupt("key has another length");
  return body.first<32>();
}

ByteVector tenant_key_name(TenantId tenant) {
  ByteVector bytes;
  Writer out(bytes);
  out.put_raw(as_bytes("square tenant key v1"));
  out.put(tenant);
  return bytes;
}

ByteVector data_key_name(KeyId key, TenantId tenant) {
  ByteVector bytes;
  Writer out(bytes);
  out.put_raw(as_bytes("square data key v1"));
  out.put(key);
  out.put(tenant);
  return bytes;
}

}  // namespace square::codec
