#include "client/admin/admin.hpp"

#include "env/real/posix_files.hpp"
#include "rpc/credentials.hpp"

namespace square::client {

Result<std::unique_ptr<Admin>> Admin::connect(const Config& config) {
  if (config.control.empty())
    return Error{Code::kInvalid, "the configuration names no control plane (\"control\")"};
  env::PosixFiles disk;
  for (const auto& path : {config.tls_ca, config.tls_certificate, config.tls_key}) {
    const auto bytes = disk.read(path, 1u << 20);
    if (!bytes.ok()) return bytes.error();
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const rpc::TlsFiles files{config.tls_certificate, config.tls_key, config.tls_ca};
  auto channel = grpc::CreateCustomChannel(config.control.front(),
                                           rpc::channel_credentials(files, config.cell), arguments);
  return std::unique_ptr<Admin>(new Admin(v1::Control::NewStub(channel)));
}

}  // namespace square::client
