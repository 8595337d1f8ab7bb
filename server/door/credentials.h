// Makes the server's TLS credentials.
#ifndef LOSSD_SERVER_DOOR_CREDENTIALS_H_
#define LOSSD_SERVER_DOOR_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "server/door/certificates.h"

namespace lossd::door {

// Returns credentials that show, at each handshake, the certificate that
// `certificates` then has. Without certificates, a null pointer, there is no
// TLS. Borrows `certificates` for as long as the server lives.
std::shared_ptr<grpc::ServerCredentials> MakeCredentials(
    const Certificates* certificates);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_CREDENTIALS_H_
