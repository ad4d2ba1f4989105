#pragma once
// A DataService that keeps volumes in vectors of bytes, with a session table, and fails on demand.

#include <cstring>
#include <map>
#include <set>

#include "access/data_service.hpp"
#include "client/ingest.hpp"
#include "env/sync.hpp"

namespace square::test {

class MapService final : public access::DataService {
 public:
  explicit MapService(env::Loop& loop) : go(loop) { go.set(); }

  struct Volume {
    std::string name;
    TenantId tenant;
    ByteVector bytes;
  };
  void add(VolumeId id, std::string name, std::size_t size, TenantId tenant = TenantId(1)) {
    volumes[id] = {std::move(name), tenant, ByteVector(size)};
  }

  Async<SessionId> open_session(format::wire::OpenSession) override {
    co_return SessionId(++sessions);
  }
  Async<> end_session(format::wire::EndSession) override { co_return {}; }
  Async<format::wire::VolumeOpened> open_volume(format::wire::OpenVolume request) override {
    for (const auto& [id, volume] : volumes)
      if (volume.tenant == request.tenant &&
          (request.name.empty() ? id == request.id : volume.name == request.name))
        co_return format::wire::VolumeOpened{id, volume.name, GroupId(1), volume.bytes.size(),
                                             64u << 10};
    co_return Error{Code::kNotFound, "no volume \"" + request.name + "\""};
  }
  Async<> write(format::wire::Write request, Buffer data) override {
    co_await go.wait();
    if (auto error = next_error()) co_return *error;
    if (!done.insert({request.session, request.number}).second) co_return {};
    auto& bytes = volumes[request.volume].bytes;
    if (request.offset + data.size() > bytes.size())
      co_return Error{Code::kInvalid, "past the end of the volume"};
    if (request.ingest != client::ingest_hashes(request.offset, data.bytes()))
      co_return Error{Code::kCorrupt, "the content is not what its hashes say"};
    std::memcpy(bytes.data() + request.offset, data.data(), data.size());
    ++writes;
    if (after_write) after_write();
    co_return {};
  }
  Async<Buffer> read(format::wire::Read request) override {
    co_await go.wait();
    if (auto error = next_error()) co_return *error;
    const auto& bytes = volumes[request.volume].bytes;
    if (request.offset + request.length > bytes.size())
      co_return Error{Code::kInvalid, "past the end of the volume"};
    co_return Buffer::copy_of(Bytes(bytes).subspan(request.offset, request.length));
  }
  Async<> zero(format::wire::Zero request) override {
    if (auto error = next_error()) co_return *error;
    auto& bytes = volumes[request.volume].bytes;
    std::memset(bytes.data() + request.offset, 0, request.length);
    co_return {};
  }
  Async<std::vector<format::wire::StatusRun>> block_status(
      format::wire::BlockStatus request) override {
    if (auto error = next_error()) co_return *error;
    std::vector<format::wire::StatusRun> runs{{request.length, false}};
    co_return runs;
  }

  std::map<VolumeId, Volume> volumes;
  std::set<std::pair<SessionId, RequestNumber>> done;
  std::vector<Error> errors;  // given one by one, from the front
  std::function<void()> after_write;
  env::Event go;  // reset: reads and writes wait
  int writes = 0;
  std::uint64_t sessions = 0;

 private:
  std::optional<Error> next_error() {
    if (errors.empty()) return std::nullopt;
    auto error = errors.front();
    errors.erase(errors.begin());
    return error;
  }
};

}  // namespace square::test
