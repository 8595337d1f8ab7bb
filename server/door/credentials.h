// What the server proves, and what it asks of clients.
#ifndef LOSSD_SERVER_DOOR_CREDENTIALS_H_
#define LOSSD_SERVER_DOOR_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

namespace lossd::door {

// PEM files; all empty: no TLS.
struct TlsFiles {
  std::string certificate;
  std::string key;
  // Not empty: clients need a certificate of these.
  std::string client_authorities;
};

// The files are read again every few seconds, so that certificates can be
// renewed while the server runs.
std::shared_ptr<grpc::ServerCredentials> MakeCredentials(const TlsFiles& files);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_CREDENTIALS_H_
