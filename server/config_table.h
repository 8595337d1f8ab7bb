// The server's flags.
#ifndef LOSSD_SERVER_CONFIG_TABLE_H_
#define LOSSD_SERVER_CONFIG_TABLE_H_

#include "base/flag_table.h"
#include "server/config.h"

namespace lossd {

// Returns a row for each member of `config`, which is borrowed: name, member,
// range and help. The defaults are what the members hold now.
FlagTable ConfigTable(Config& config);

}  // namespace lossd

#endif  // LOSSD_SERVER_CONFIG_TABLE_H_
