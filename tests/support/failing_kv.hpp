#pragma once
// An index whose file system takes no writes any more, from when a test says so.

#include "index/map_kv.hpp"

namespace square::test {

class FailingKvFactory final : public index::KvFactory {
 public:
  FailingKvFactory(index::MapKvStorage& storage, Code code) : inner_(storage), code_(code) {}

  bool failing = false;  // writes and flushes fail, now
  std::size_t refused = 0;

  Result<std::unique_ptr<index::Kv>> open_local() override { return wrap(inner_.open_local()); }
  Result<std::unique_ptr<index::Kv>> create_empty() override { return wrap(inner_.create_empty()); }
  Result<std::unique_ptr<Import>> import_files() override {
    SQ_TRY(auto import, inner_.import_files());
    return std::unique_ptr<Import>(new WrappedImport(*this, std::move(import)));
  }

 private:
  class WrappedKv final : public index::Kv {
   public:
    WrappedKv(FailingKvFactory& owner, std::unique_ptr<index::Kv> inner)
        : owner_(owner), inner_(std::move(inner)) {}
    Result<std::optional<ByteVector>> get(index::Family family, Bytes key) override {
      return inner_->get(family, key);
    }
    std::unique_ptr<index::KvIterator> iterate(index::Family family) override {
      return inner_->iterate(family);
    }
    Result<> write(const index::KvBatch& batch) override {
      SQ_TRY(owner_.may_write());
      return inner_->write(batch);
    }
    Result<> flush() override {
      SQ_TRY(owner_.may_write());
      return inner_->flush();
    }
    Result<std::unique_ptr<index::KvExport>> export_files() override {
      SQ_TRY(owner_.may_write());
      return inner_->export_files();
    }
    std::uint64_t memory_bytes() const override { return inner_->memory_bytes(); }

   private:
    FailingKvFactory& owner_;
    std::unique_ptr<index::Kv> inner_;
  };
  class WrappedImport final : public Import {
   public:
    WrappedImport(FailingKvFactory& owner, std::unique_ptr<Import> inner)
        : owner_(owner), inner_(std::move(inner)) {}
    Result<> put(const std::string& name, std::uint64_t offset, Bytes bytes) override {
      return inner_->put(name, offset, bytes);
    }
    Result<std::unique_ptr<index::Kv>> finish() override { return owner_.wrap(inner_->finish()); }

   private:
    FailingKvFactory& owner_;
    std::unique_ptr<Import> inner_;
  };

  Result<> may_write() {
    if (!failing) return {};
    ++refused;
    return Error{code_, "the file system of the index is full"};
  }
  Result<std::unique_ptr<index::Kv>> wrap(Result<std::unique_ptr<index::Kv>> inner) {
    if (!inner.ok()) return inner;
    return std::unique_ptr<index::Kv>(new WrappedKv(*this, std::move(inner).value()));
  }

  index::MapKvFactory inner_;
  Code code_;
};

}  // namespace square::test
