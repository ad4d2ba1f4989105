#pragma once
// The key store's files as bytes. docs/formats/key_store.md.

#include <map>
#include <optional>

#include "codec/key_wrap.hpp"

namespace square::codec {

struct WrappedDataKey {
  TenantId tenant;
  Wrap wrap;                         // under the tenant's key
  std::optional<RemoteWrap> remote;  // for the remote site
  bool operator==(const WrappedDataKey&) const = default;
};

// Everything that the key store holds, wrapped.
struct KeyFile {
  std::map<TenantId, Wrap> tenants;  // under the root key
  std::map<KeyId, WrappedDataKey> keys;
  bool operator==(const KeyFile&) const = default;
};

ByteVector encode_key_file(const KeyFile& file);
// Errors: kCorrupt, kUnsupported.
Result<KeyFile> decode_key_file(Bytes bytes);

// A file of one key: the root key, or the remote site's public key.
enum class SingleKey { kRoot, kRemotePublic };
ByteVector encode_single_key(SingleKey which, std::span<const std::byte, 32> key);
// A view into `bytes`. Errors: kCorrupt, kUnsupported.
Result<std::span<const std::byte, 32>> decode_single_key(SingleKey which, Bytes bytes);

// The names under which keys are wrapped.
ByteVector tenant_key_name(TenantId tenant);
ByteVector data_key_name(KeyId key, TenantId tenant);

}  // namespace square::codec
