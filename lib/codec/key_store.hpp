#pragma once
// A site's key store: the root key, tenant keys under it, data keys of volumes under those, each
// wrapped (AES-256-GCM) for this site and, when a remote public key is configured, for the remote
// (X25519 + HKDF + AES-256-GCM). Never in the data that is snapshotted and shipped: data names key
// ids. docs/formats/key_store.md.

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "codec/seal.hpp"
#include "env/env.hpp"

namespace square::codec {

class KeyStore {
 public:
  // Makes `folder`/root.key (mode 0600) and an empty store. Errors: kExists, kIo, kDenied.
  static Result<> create(env::Files& files, env::Random& random, const std::string& folder);
  // Errors: kNotFound (no root key: says which file), kCorrupt, kUnsupported, kDenied.
  static Result<std::unique_ptr<KeyStore>> open(env::Files& files, env::Random& random,
                                                const std::string& folder);
  ~KeyStore();

  // A new data key of `tenant`, durable (write_atomic) before it returns. Errors: kIo, kNoSpace.
  Result<KeyId> create_data_key(TenantId tenant);
  // Errors: kNotFound (never here, or destroyed), kCorrupt.
  Result<const SecretKey*> data_key(KeyId id);
  // Gone for good, with every data key under it. Errors: kNotFound, kIo.
  Result<> destroy_tenant(TenantId tenant);

 private:
  class Impl;
  explicit KeyStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::codec
