// The settings that follow from the machine.
#ifndef LOSSD_SERVER_DEFAULTS_H_
#define LOSSD_SERVER_DEFAULTS_H_

#include "server/config.h"
#include "server/machine/cpus.h"
#include "server/machine/memory.h"
#include "server/memory_plan.h"

namespace lossd {

// The part of the machine that this process may use.
struct Machine {
  machine::Cpus cpus = machine::UsableCpus();
  machine::Memory memory = machine::UsableMemory();
};

// Returns the memory plan of complete settings on this machine.
MemoryPlan PlanOf(const Config& config, const Machine& machine);

// Returns the settings with a number in place of each 0 that stands for what
// the machine has. Every part of the server that counts processors or memory
// reads these.
Config WithDefaults(Config config, const Machine& machine);

}  // namespace lossd

#endif  // LOSSD_SERVER_DEFAULTS_H_
