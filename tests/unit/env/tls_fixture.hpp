#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "env/real/pki.hpp"
#include "env/real/posix_files.hpp"
#include "env/real/tcp_transport.hpp"
#include "unit/env/real_fixture.hpp"
#include "unit/env/temporary_folder.hpp"

namespace square::test {

inline constexpr auto* kCell = "6f1c1f0e-8a35-4c52-9a34-5d3f0a5c7b11";
inline constexpr auto* kOtherCell = "11111111-2222-4333-8444-555555555555";

// A folder of certificates, and transports that use them.
class TlsFixture : public RealFixture {
 public:
  TlsFixture() { make_authority_files("ca"); }
  ~TlsFixture() {
    const auto body = [this]() -> Task<void> {
      for (auto& transport : transports_) co_await transport->stop();
    };
    run(body());
  }

  void make_authority_files(const std::string& name) {
    authorities_[name] = env::make_authority(name, valid()).value();
    write(name, authorities_[name]);
  }
  // NAME.crt and NAME.key
  void issue(const std::string& name, const std::string& uri, env::Validity validity,
             const std::string& authority = "ca") {
    const env::CertificateOrder order{uri, {"localhost"}, {"127.0.0.1", "::1"}, validity};
    write(name, env::issue_certificate(authorities_.at(authority), order).value());
  }
  void issue(const std::string& name, const std::string& subject) {
    issue(name, env::identity_uri(kCell, subject), valid());
  }
  void write(const std::string& name, const env::CertificatePair& pair) {
    env::write_certificate_pair(files_, folder_.path(name), pair).value();
  }
  env::Validity valid() { return env::Validity::days(loop().wall(), 1); }

  env::TlsConfig config(const std::string& name, const std::string& authority = "ca") {
    return {folder_.path(authority + ".crt"), folder_.path(name + ".crt"),
            folder_.path(name + ".key"), kCell};
  }
  Result<env::TcpTransport*> make(env::TlsConfig config, env::TcpTransportOptions options = {}) {
    options.on_refused = [this](const std::string&, const Error& why) { refused_.push_back(why); };
    SQ_TRY(auto made, env::TcpTransport::create(loop(), files_, std::move(config), options));
    return transports_.emplace_back(std::move(made)).get();
  }
  env::TcpTransport& add(const std::string& name, env::TcpTransportOptions options = {}) {
    return *make(config(name), std::move(options)).value();
  }
  // What listeners did not let in.
  std::vector<Error>& refused() { return refused_; }
  const TemporaryFolder& folder() const { return folder_; }
  env::PosixFiles& files() { return files_; }

 private:
  TemporaryFolder folder_{"/dev/shm"};
  env::PosixFiles files_;
  std::map<std::string, env::CertificatePair> authorities_;
  std::vector<Error> refused_;
  std::vector<std::unique_ptr<env::TcpTransport>> transports_;
};

}  // namespace square::test
