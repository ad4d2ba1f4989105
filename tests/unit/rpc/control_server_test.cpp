#include "rpc/control_server.hpp"

#include <stdlib.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <thread>

#include "client/admin/admin.hpp"
#include "env/real/asio_loop.hpp"
#include "env/real/pki.hpp"
#include "env/real/posix_files.hpp"
#include "env/sync.hpp"
#include "rpc/credentials.hpp"
#include "support/fake_control.hpp"

using namespace square;
using Stub = v1::Control::Stub;

namespace {

const std::string kCell = "00112233-4455-6677-8899-aabbccddeeff";
const std::string kOther = "ff112233-4455-6677-8899-aabbccddeeff";

// A control plane with real TLS on a loop thread, and certificates for whoever asks.
struct Bench {
  Bench() {
    std::string name = "/tmp/square_rpc_XXXXXX";
    folder = mkdtemp(name.data());
    const auto validity = env::Validity::days(loop.wall(), 1);
    authority = env::make_authority("test", validity).value();
    REQUIRE(env::write_certificate_pair(files, folder + "/ca", authority).ok());
    issue("node", kCell, "node/n1");
    server = std::make_unique<rpc::ControlServer>(
        loop, service, rpc::ServerOptions{"127.0.0.1:0", kCell}, nullptr);
    REQUIRE(server->start(rpc::server_credentials(tls("node"))).ok());
    thread = std::thread([this] { loop.run(); });
  }
  ~Bench() {
    loop.post_from_any_thread([this] { stopper.emplace(loop).spawn(stop()); });
    thread.join();
    stopper.reset();
    std::filesystem::remove_all(folder);
  }
  Task<void> stop() {
    co_await server->stop();
    loop.post([this] { loop.stop(); });
  }
  void issue(const std::string& file, const std::string& cell, const std::string& subject,
             int days = 1) {
    env::CertificateOrder order{env::identity_uri(cell, subject), {}, {"127.0.0.1"}, {}};
    order.validity = env::Validity::days(loop.wall(), days);
    if (days < 0)
      order.validity = {{loop.wall().ns - 7'200'000'000'000}, {loop.wall().ns - 3'600'000'000'000}};
    const auto pair = env::issue_certificate(authority, order).value();
    REQUIRE(env::write_certificate_pair(files, folder + "/" + file, pair).ok());
  }
  rpc::TlsFiles tls(const std::string& name) const {
    return {folder + "/" + name + ".crt", folder + "/" + name + ".key", folder + "/ca.crt"};
  }
  std::unique_ptr<client::Admin> admin(const std::string& name, const std::string& cell = kCell) {
    client::Config config;
    config.cell = cell;
    config.control = {server->address()};
    const auto paths = tls(name);
    config.tls_ca = paths.ca;
    config.tls_certificate = paths.certificate;
    config.tls_key = paths.key;
    return client::Admin::connect(config).value();
  }
  std::unique_ptr<client::Admin> as(const std::string& subject) {
    issue("peer", kCell, subject);
    return admin("peer");
  }

  std::string folder;
  env::PosixFiles files;
  env::AsioLoop loop;
  env::CertificatePair authority;
  test::FakeControl service;
  std::unique_ptr<rpc::ControlServer> server;
  std::optional<env::Scope> stopper;
  std::thread thread;
};

v1::CreateVolumeRequest volume_request(const std::string& name) {
  v1::CreateVolumeRequest request;
  request.set_name(name);
  request.set_size_bytes(1u << 20);
  return request;
}

}  // namespace

TEST_CASE("an operator makes a volume, sees it, and is told of what fails with our own code") {
  Bench b;
  const auto admin = b.as("operator/alice");
  const auto made = admin->change(&Stub::CreateVolume, volume_request("orders"));
  REQUIRE(made.ok());
  CHECK(made->extent_bytes() == 64u << 10);
  CHECK(made->tenant() == 1);
  CHECK(admin->change(&Stub::CreateVolume, volume_request("orders")).code() == Code::kExists);
  v1::VolumeName name;
  name.set_name("nothing");
  const auto missing = admin->look(&Stub::ShowVolume, name);
  CHECK(missing.code() == Code::kNotFound);
  CHECK(missing.error().message == "no volume \"nothing\"");
  CHECK(admin->look(&Stub::ListVolumes)->volumes_size() == 1);
  CHECK(admin->change(&Stub::Checkpoint, v1::NodeName()).code() == Code::kDataLoss);
  CHECK(admin->look(&Stub::ListOperations)->operations_size() == 0);
  const auto scrub = admin->change(&Stub::StartScrub, v1::NodeName());
  CHECK(scrub->state() == "running");
  CHECK(scrub->node() == "n1");
  CHECK(admin->change(&Stub::StartScrub, v1::NodeName()).code() == Code::kBusy);
  CHECK(admin->look(&Stub::ListOperations)->operations(0).total_bytes() == 9);
  v1::OperationName operation;
  operation.set_id(scrub->id());
  CHECK(admin->change(&Stub::CancelOperation, operation)->state() == "cancelled");
  CHECK(admin->look(&Stub::ShowOperation, operation)->state() == "cancelled");
  operation.set_id("scrub-2");
  CHECK(admin->look(&Stub::ShowOperation, operation).code() == Code::kNotFound);
  CHECK(admin->look(&Stub::ListGroups)->groups(0).sequence() == 42);
  CHECK(admin->look(&Stub::CheckPool)->differences() == "stripe 5 differs");
  CHECK(admin->look(&Stub::Health)->health() == "degraded");
  CHECK(admin->look(&Stub::PoolStatus)->rebuild().total_bytes() == 77);
}

TEST_CASE("another node's name is not found, this node's is") {
  Bench b;
  const auto admin = b.as("operator/alice");
  v1::DiskRequest request;
  request.set_node("n2");
  CHECK(admin->change(&Stub::FailDisk, request).code() == Code::kNotFound);
  request.set_node("n1");
  request.set_slot(70000);
  CHECK(admin->change(&Stub::FailDisk, request).code() == Code::kNotFound);
  request.set_slot(3);
  CHECK(admin->change(&Stub::FailDisk, request).ok());
  CHECK(b.service.failed == std::vector{Slot(3)});
  request.set_slot(0);
  CHECK(admin->look(&Stub::OkToPullDisk, request).code() == Code::kDenied);
}

TEST_CASE("a client looks but does not touch, a stranger does neither") {
  Bench b;
  const auto client = b.as("client/app7");
  CHECK(client->look(&Stub::ListVolumes).ok());
  CHECK(client->change(&Stub::CreateVolume, volume_request("orders")).code() == Code::kDenied);
  CHECK(b.service.volumes.empty());
  const auto stranger = b.as("gateway/x");
  CHECK(stranger->look(&Stub::ListVolumes).code() == Code::kDenied);
}

TEST_CASE(
    "a certificate of another cell, an expired one, and one of another authority are refused") {
  Bench b;
  b.issue("foreign", kOther, "operator/alice");
  CHECK(b.admin("foreign")->look(&Stub::ListVolumes).code() == Code::kDenied);
  b.issue("expired", kCell, "operator/alice", -1);
  CHECK_FALSE(b.admin("expired")->look(&Stub::ListVolumes).ok());
  b.authority = env::make_authority("another", env::Validity::days(b.loop.wall(), 1)).value();
  CHECK_FALSE(b.as("operator/mallory")->look(&Stub::ListVolumes).ok());
}

TEST_CASE("a server that is no node of the cell is not talked to") {
  Bench b;
  b.issue("peer", kCell, "operator/alice");
  const auto lost = b.admin("peer", kOther)->change(&Stub::CreateVolume, volume_request("orders"));
  CHECK(lost.code() == Code::kUnavailable);
  CHECK(b.service.volumes.empty());
}

TEST_CASE("a node that is not there is unavailable: nothing was done") {
  Bench b;
  client::Config config;
  config.cell = kCell;
  config.control = {"127.0.0.1:1"};
  b.issue("peer", kCell, "operator/alice");
  const auto paths = b.tls("peer");
  config.tls_ca = paths.ca;
  config.tls_certificate = paths.certificate;
  config.tls_key = paths.key;
  const auto admin = client::Admin::connect(config).value();
  CHECK(admin->change(&Stub::CreateVolume, volume_request("orders")).code() == Code::kUnavailable);
  config.tls_key = b.folder + "/nothing.key";
  CHECK(client::Admin::connect(config).code() == Code::kNotFound);
  config.control.clear();
  CHECK(client::Admin::connect(config).code() == Code::kInvalid);
}

TEST_CASE("every code of ours survives the way through a status") {
  for (int code = 1; code <= static_cast<int>(Code::kDataLoss); ++code) {
    const Error error{static_cast<Code>(code), "why"};
    const auto back = rpc::from_status(rpc::to_status(error), false);
    CHECK(back.code == error.code);
    CHECK(back.message == "why");
  }
}

TEST_CASE("a lost answer to a change is an unknown outcome, to a look it is not") {
  const grpc::Status late(grpc::StatusCode::DEADLINE_EXCEEDED, "late");
  CHECK(rpc::from_status(late, true).code == Code::kOutcomeUnknown);
  CHECK(rpc::from_status(late, false).code == Code::kTimeout);
  const grpc::Status reset(grpc::StatusCode::UNAVAILABLE, "Socket closed");
  CHECK(rpc::from_status(reset, true).code == Code::kOutcomeUnknown);
  CHECK(rpc::from_status(reset, false).code == Code::kUnavailable);
}
