#include "rpc/credentials.hpp"

#include <grpc/support/log.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include "access/identity.hpp"

namespace square::rpc {

namespace {

namespace tls = grpc::experimental;

constexpr unsigned kRefreshSeconds = 5;

std::shared_ptr<tls::FileWatcherCertificateProvider> watch(const TlsFiles& files) {
  return std::make_shared<tls::FileWatcherCertificateProvider>(files.key, files.certificate,
                                                               files.ca, kRefreshSeconds);
}

void take(tls::TlsCredentialsOptions& options) {
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_check_call_host(false);
}

// Identities are names of the cell, not host names: addresses may change, forward, or be numbers.
class NodeOfCell final : public tls::ExternalCertificateVerifier {
 public:
  explicit NodeOfCell(std::string cell) : cell_(std::move(cell)) {}
  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    for (const auto& name : request->uri_names()) {
      const auto who = access::parse_identity({name.data(), name.size()});
      if (who.ok() && who->cell == cell_ && who->subject.starts_with("node/")) {
        *sync_status = grpc::Status::OK;
        return true;
      }
    }
    *sync_status = {grpc::StatusCode::UNAUTHENTICATED, "not a node of cell " + cell_};
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  std::string cell_;
};

// gRPC takes a plain function: the one place where a sink has to be kept beside its user.
LogSink& grpc_sink() {
  static LogSink sink;
  return sink;
}

void take_grpc_line(gpr_log_func_args* line) {
  if (grpc_sink()) grpc_sink()(LogLevel::kWarning, "control plane: " + std::string(line->message));
}

}  // namespace

void route_grpc_log(LogSink log) {
  grpc_sink() = std::move(log);
  gpr_set_log_function(take_grpc_line);
}

std::shared_ptr<grpc::ServerCredentials> server_credentials(const TlsFiles& files) {
  tls::TlsServerCredentialsOptions options(watch(files));
  take(options);
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.set_certificate_verifier(std::make_shared<tls::NoOpCertificateVerifier>());
  return tls::TlsServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> channel_credentials(const TlsFiles& files,
                                                              const std::string& cell) {
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(watch(files));
  take(options);
  options.set_verify_server_certs(true);
  options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<NodeOfCell>(cell));
  return tls::TlsCredentials(options);
}

}  // namespace square::rpc
