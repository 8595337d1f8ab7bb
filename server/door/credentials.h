// Makes the server's TLS credentials.
#ifndef LOSSD_SERVER_DOOR_CREDENTIALS_H_
#define LOSSD_SERVER_DOOR_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

namespace lossd::door {

// Paths of PEM files. Without a certificate there is no TLS.
struct TlsFiles {
  std::string certificate;
  std::string key;
  // If this is set, clients must have a certificate of one of these
  // authorities.
  std::string client_authorities;
};

// Returns credentials that read the files again every 10 seconds, so that
// certificates can be renewed while the server runs.
std::shared_ptr<grpc::ServerCredentials> MakeCredentials(const TlsFiles& files);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_CREDENTIALS_H_
