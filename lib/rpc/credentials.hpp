#pragma once
// Mutual TLS for gRPC. Files are watched: a renewed certificate is taken without a restart.

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "base/log.hpp"
#include "base/result.hpp"

namespace square::rpc {

struct TlsFiles {
  std::string certificate, key, ca;  // paths of PEM files
};

std::shared_ptr<grpc::ServerCredentials> server_credentials(const TlsFiles& files);
// Takes only a node of `cell` as the server, whatever its host name.
std::shared_ptr<grpc::ChannelCredentials> channel_credentials(const TlsFiles& files,
                                                              const std::string& cell);

// gRPC's own lines, such as refused handshakes, go to `log`, from gRPC's own threads.
// Before the first other use of gRPC in the process.
void route_grpc_log(LogSink log);

}  // namespace square::rpc
