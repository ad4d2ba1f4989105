#include "rpc/coordinator_server.hpp"

#include <stdlib.h>

#include <filesystem>
#include <thread>

#include "cluster/embedded_coordinator.hpp"
#include "conformance/coordinator_conformance.hpp"
#include "env/real/asio_loop.hpp"
#include "env/real/pki.hpp"
#include "env/real/posix_files.hpp"
#include "env/real/system_random.hpp"
#include "rpc/credentials.hpp"
#include "rpc/remote_coordinator.hpp"

using namespace square;
using conformance::group_record;

namespace {

const std::string kCell = "00112233-4455-6677-8899-aabbccddeeff";

// An embedded coordinator behind real TLS, and a client of it, on one loop.
struct Fixture {
  Fixture() {
    std::string name = "/tmp/square_coordinator_XXXXXX";
    folder = mkdtemp(name.data());
    authority = env::make_authority("test", env::Validity::days(asio.wall(), 1)).value();
    REQUIRE(env::write_certificate_pair(files, folder + "/ca", authority).ok());
    issue("node/n1");
    issue("node/k1");
    issue("client/app");
    REQUIRE(cluster::EmbeddedCoordinator::create(files, random, file()).ok());
    start("127.0.0.1:0");
    connect("n1");
  }
  ~Fixture() {
    run(stop());
    std::filesystem::remove_all(folder);
  }
  std::string file() const { return folder + "/coordinator"; }
  void issue(const std::string& subject) {
    env::CertificateOrder order{env::identity_uri(kCell, subject), {}, {"127.0.0.1"}, {}};
    order.validity = env::Validity::days(asio.wall(), 1);
    const auto pair = env::issue_certificate(authority, order).value();
    const auto to = folder + "/" + subject.substr(subject.find('/') + 1);
    REQUIRE(env::write_certificate_pair(files, to, pair).ok());
  }
  rpc::TlsFiles tls(const std::string& name) const {
    return {folder + "/" + name + ".crt", folder + "/" + name + ".key", folder + "/ca.crt"};
  }
  void start(const std::string& address) {
    auto opened = cluster::EmbeddedCoordinator::open(asio, files, file());
    REQUIRE(opened.ok());
    embedded = std::move(opened).value();
    server = std::make_unique<rpc::CoordinatorServer>(asio, *embedded,
                                                      rpc::ServerOptions{address, kCell}, nullptr);
    REQUIRE(server->start(rpc::server_credentials(tls("k1"))).ok());
  }
  void connect(const std::string& who) {
    remote = std::make_unique<rpc::RemoteCoordinator>(
        asio, rpc::RemoteCoordinatorOptions{server->address()},
        rpc::channel_credentials(tls(who), kCell));
  }
  env::Loop& loop() { return asio; }
  void run(Task<void> task) {
    env::Scope scope(asio);
    scope.spawn(then_stop(std::move(task)));
    asio.run();
  }
  Task<void> then_stop(Task<void> task) {
    co_await task;
    asio.stop();
  }
  Task<void> stop_server() {
    co_await server->stop();
    server.reset();
    embedded.reset();
  }
  Task<void> stop() {
    co_await remote->stop();
    if (server) co_await stop_server();
  }
  cluster::Coordinator& coordinator() { return *remote; }
  void restart() {
    const auto address = server->address();
    run(stop_server());
    start(address);
  }

  std::string folder;
  env::PosixFiles files;
  env::SystemRandom random;
  env::AsioLoop asio;
  env::CertificatePair authority;
  std::unique_ptr<cluster::EmbeddedCoordinator> embedded;
  std::unique_ptr<rpc::CoordinatorServer> server;
  std::unique_ptr<rpc::RemoteCoordinator> remote;
};

}  // namespace

TEST_CASE("a coordinator behind gRPC does what every coordinator does") {
  const auto check = [](void (*conforms)(Fixture&)) {
    Fixture fixture;
    conforms(fixture);
  };
  check(conformance::check_a_record_is_swapped_when_its_revision_stands);
  check(conformance::check_one_of_many_swaps_wins);
  check(conformance::check_groups_change_apart_under_one_revision);
  check(conformance::check_what_was_swapped_is_there_after_a_restart);
  check(conformance::check_whoever_waits_is_told_of_a_change);
}

TEST_CASE("all of a record arrives at the coordinator and comes back") {
  Fixture t;
  auto record = group_record(7, 4);
  record.backup.uuid.bytes.fill(0xb0);
  record.pending_loss = record.replica;
  const auto body = [&]() -> Task<void> {
    const auto done = co_await t.remote->compare_and_swap(0, record);
    REQUIRE(done.ok());
    REQUIRE(done->record);
    record.revision = done->record->revision;
    CHECK(*done->record == record);
    CHECK(t.embedded->state().groups.at(0) == record);
    CHECK(done->identity == t.embedded->state().identity);
  };
  t.run(body());
}

TEST_CASE("a client may look at the coordinator, and changes nothing") {
  Fixture t;
  t.run(t.remote->stop());
  t.connect("app");
  const auto body = [&]() -> Task<void> {
    CHECK((co_await t.remote->list()).ok());
    CHECK((co_await t.remote->compare_and_swap(0, group_record(1, 1))).code() == Code::kDenied);
    CHECK_FALSE((co_await t.remote->read(GroupId(1)))->record);
  };
  t.run(body());
}

TEST_CASE("a coordinator that is gone is unavailable, and found again when it is back") {
  Fixture t;
  const auto address = t.server->address();
  const auto gone = [&]() -> Task<void> {
    REQUIRE((co_await t.remote->compare_and_swap(0, group_record(1, 1)))->swapped);
    co_await t.stop_server();
    CHECK((co_await t.remote->read(GroupId(1))).code() == Code::kUnavailable);
    const auto change = co_await t.remote->compare_and_swap(1, group_record(1, 2));
    CHECK((change.code() == Code::kUnavailable || change.code() == Code::kOutcomeUnknown));
  };
  t.run(gone());
  t.start(address);
  bool found = false;
  const auto back = [&]() -> Task<void> {
    for (int i = 0; i < 100 && !found; ++i) {
      found = (co_await t.remote->read(GroupId(1))).ok();
      if (!found) co_await env::sleep_until(t.asio, t.asio.now() + std::chrono::milliseconds(100));
    }
  };
  t.run(back());
  CHECK(found);
}

TEST_CASE("whoever waits for a coordinator that ends is not left waiting") {
  Fixture t;
  const auto body = [&]() -> Task<void> {
    env::Scope scope(t.asio);
    bool noted = false;
    scope.spawn(conformance::detail::note_change(*t.remote, 99, std::chrono::hours(1), noted));
    co_await env::sleep_until(t.asio, t.asio.now() + std::chrono::milliseconds(50));
    co_await t.remote->stop();
    co_await scope.join();
    CHECK(noted);
    CHECK((co_await t.remote->read(GroupId(1))).code() == Code::kUnavailable);
  };
  t.run(body());
}
