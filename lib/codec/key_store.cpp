#include "codec/key_store.hpp"

#include <openssl/crypto.h>

#include <algorithm>

#include "codec/key_file.hpp"

namespace square::codec {
namespace {

constexpr std::size_t kSingleBytesMax = 4096;
constexpr std::size_t kStoreBytesMax = 256u << 20;

std::string root_path(const std::string& folder) { return folder + "/root.key"; }
std::string store_path(const std::string& folder) { return folder + "/keys"; }
std::string remote_path(const std::string& folder) { return folder + "/remote.pub"; }

Result<KeyFile> read_store(env::Files& files, const std::string& folder) {
  const auto path = store_path(folder);
  auto bytes = files.read(path, kStoreBytesMax);
  if (!bytes.ok()) return std::move(bytes).error().context("key store " + path);
  return decode_key_file(*bytes).context("key store " + path);
}

Result<SecretKey> read_root(env::Files& files, const std::string& folder) {
  const auto path = root_path(folder);
  auto bytes = files.read(path, kSingleBytesMax);
  if (!bytes.ok()) return std::move(bytes).error().context("root key " + path);
  const auto key = decode_single_key(SingleKey::kRoot, *bytes);
  auto result = key.ok() ? Result<SecretKey>(SecretKey(*key))
                         : Result<SecretKey>(Error(key.error()).context("root key " + path));
  OPENSSL_cleanse(bytes->data(), bytes->size());
  return result;
}

Result<std::optional<PublicKey>> read_remote(env::Files& files, const std::string& folder) {
  const auto path = remote_path(folder);
  if (!files.exists(path)) return std::optional<PublicKey>{};
  auto bytes = files.read(path, kSingleBytesMax);
  if (!bytes.ok()) return std::move(bytes).error().context("remote key " + path);
  const auto key = decode_single_key(SingleKey::kRemotePublic, *bytes);
  if (!key.ok()) return Error(key.error()).context("remote key " + path);
  PublicKey out;
  std::ranges::copy(*key, out.begin());
  return std::optional(out);
}

}  // namespace

class KeyStore::Impl {
 public:
  Impl(env::Files& files, env::Random& random, std::string folder, SecretKey root,
       std::optional<PublicKey> remote, KeyFile file)
      : files_(files),
        random_(random),
        folder_(std::move(folder)),
        root_(std::move(root)),
        remote_(remote),
        file_(std::move(file)) {}

  Result<> unwrap_all() {
    for (const auto& [tenant, wrap] : file_.tenants) {
      auto key = unwrap_key(root_, wrap, tenant_key_name(tenant));
      if (!key.ok())
        return std::move(key).error().context("tenant key under " + root_path(folder_));
      tenants_.emplace(tenant, std::move(key).value());
    }
    for (const auto& [id, wrapped] : file_.keys) {
      auto key =
          unwrap_key(tenants_.at(wrapped.tenant), wrapped.wrap, data_key_name(id, wrapped.tenant));
      // The tenant's key is authentic, so this wrap is what is damaged.
      if (!key.ok()) return Error{Code::kCorrupt, "data key in " + store_path(folder_)};
      keys_.emplace(id, std::move(key).value());
    }
    return {};
  }

  Result<KeyId> create_data_key(TenantId tenant) {
    auto file = file_;
    std::optional<SecretKey> fresh_tenant;
    if (!file.tenants.contains(tenant)) {
      fresh_tenant = SecretKey::generate(random_);
      file.tenants[tenant] = wrap_key(root_, *fresh_tenant, tenant_key_name(tenant), random_);
    }
    const auto& tenant_key = fresh_tenant ? *fresh_tenant : tenants_.at(tenant);

    KeyId id;
    while (id == KeyId(0) || file.keys.contains(id)) id = KeyId(random_.draw<std::uint64_t>());
    auto key = SecretKey::generate(random_);
    const auto name = data_key_name(id, tenant);
    WrappedDataKey wrapped{tenant, wrap_key(tenant_key, key, name, random_), {}};
    if (remote_) {
      SQ_TRY(wrapped.remote, wrap_for_remote(*remote_, key, name, random_));
    }
    file.keys.emplace(id, wrapped);

    SQ_TRY(write(file));
    file_ = std::move(file);
    if (fresh_tenant) tenants_.emplace(tenant, std::move(*fresh_tenant));
    keys_.emplace(id, std::move(key));
    return id;
  }

  Result<const SecretKey*> data_key(KeyId id) const {
    const auto found = keys_.find(id);
    if (found == keys_.end()) return Error{Code::kNotFound, "data key: not in this key store"};
    return &found->second;
  }

  Result<> destroy_tenant(TenantId tenant) {
    auto file = file_;
    if (file.tenants.erase(tenant) == 0)
      return Error{Code::kNotFound, "tenant: not in this key store"};
    std::erase_if(file.keys, [&](const auto& entry) { return entry.second.tenant == tenant; });
    SQ_TRY(write(file));
    file_ = std::move(file);
    tenants_.erase(tenant);
    std::erase_if(keys_, [&](const auto& entry) { return !file_.keys.contains(entry.first); });
    return {};
  }

 private:
  Result<> write(const KeyFile& file) {
    return files_.write_atomic(store_path(folder_), encode_key_file(file))
        .context("key store " + store_path(folder_));
  }

  env::Files& files_;
  env::Random& random_;
  std::string folder_;
  SecretKey root_;
  std::optional<PublicKey> remote_;
  KeyFile file_;
  std::map<TenantId, SecretKey> tenants_;
  std::map<KeyId, SecretKey> keys_;
};

Result<> KeyStore::create(env::Files& files, env::Random& random, const std::string& folder) {
  if (files.exists(root_path(folder)))
    return Error{Code::kExists, "root key " + root_path(folder) + ": exists"};
  // A creation that was interrupted left an empty store. Any other store belongs to a root key that
  // is missing, and must wait for it.
  if (files.exists(store_path(folder))) {
    SQ_TRY(const auto store, read_store(files, folder));
    if (store != KeyFile{})
      return Error{Code::kExists, "key store " + store_path(folder) + ": holds keys"};
  }
  SQ_TRY(files.make_folder(folder).context("key store " + folder));
  SQ_TRY(files.write_atomic(store_path(folder), encode_key_file({}))
             .context("key store " + store_path(folder)));
  // Last: its presence says that the key store is complete.
  const auto root = SecretKey::generate(random);
  auto bytes = encode_single_key(SingleKey::kRoot, root.bytes());
  auto written =
      files.write_atomic(root_path(folder), bytes).context("root key " + root_path(folder));
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return written;
}

Result<std::unique_ptr<KeyStore>> KeyStore::open(env::Files& files, env::Random& random,
                                                 const std::string& folder) {
  SQ_TRY(auto root, read_root(files, folder));
  SQ_TRY(auto remote, read_remote(files, folder));
  SQ_TRY(auto file, read_store(files, folder));
  auto impl =
      std::make_unique<Impl>(files, random, folder, std::move(root), remote, std::move(file));
  SQ_TRY(impl->unwrap_all());
  return std::unique_ptr<KeyStore>(new KeyStore(std::move(impl)));
}

KeyStore::KeyStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyStore::~KeyStore() = default;

Result<KeyId> KeyStore::create_data_key(TenantId tenant) { return impl_->create_data_key(tenant); }
Result<const SecretKey*> KeyStore::data_key(KeyId id) { return impl_->data_key(id); }
Result<> KeyStore::destroy_tenant(TenantId tenant) { return impl_->destroy_tenant(tenant); }

}  // namespace square::codec
