#pragma once
// A site's key store: the root key, tenant keys under it, data keys of volumes under those, each
// wrapped (AES-256-GCM) for this site and, when a remote public key is configured, for the remote
// (X25519 + HKDF + AES-256-GCM). Never in the data that is snapshotted and shipped: data names key
// ids. docs/formats/key_store.md.

#include <memory>
#include <string>

#include "codec/seal.hpp"
#include "env/files.hpp"

namespace square::codec {

class KeyStore {
 public:
  // Makes `folder`/root.key (mode 0600) and an empty store; may be called again after a crash
  // inside it. Never replaces a store that holds keys. Errors: kExists, kIo, kDenied, kNoSpace,
  // kCorrupt.
  static Result<> create(env::Files& files, env::Random& random, const std::string& folder);
  // `folder`/remote.pub, when it is there, is the remote site's public key.
  // Errors: kNotFound (no root key: says which file), kCorrupt, kUnsupported, kDenied (also: not
  // the root key of this store).
  static Result<std::unique_ptr<KeyStore>> open(env::Files& files, env::Random& random,
                                                const std::string& folder);
  ~KeyStore();

  // A new data key of `tenant`, durable before it returns. Errors: kIo, kNoSpace, kDenied.
  Result<KeyId> create_data_key(TenantId tenant);
  // Valid until its tenant is destroyed or the store is closed. Errors: kNotFound (never here, or
  // destroyed).
  Result<const SecretKey*> data_key(KeyId id);
  // Gone for good, with every data key under it, once it returns without error; what was derived
  // from the keys (Opener::forget) is the caller's. Errors: kNotFound, kIo, kNoSpace, kDenied.
  Result<> destroy_tenant(TenantId tenant);

 private:
  class Impl;
  explicit KeyStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::codec
